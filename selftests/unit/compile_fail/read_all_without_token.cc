// SPDX-License-Identifier: GPL-2.0
// A read of several without a token.
// expect-error: no matching function for call to .*::read_all<vregcache::Reg::kRip>\(vregcache::u64&\)
#include "common.h"

namespace vregcache {

Result<void> test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	u64 rip;
	return cache.read_all<Reg::kRip>(rip);
#else
	u64 rip;
	return cache.read_all<Reg::kRip>(loaded, rip);
#endif
}

}  // namespace vregcache
