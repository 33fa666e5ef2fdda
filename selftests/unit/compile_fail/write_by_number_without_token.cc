// SPDX-License-Identifier: GPL-2.0
// A write by number without a token.
// expect-error: no matching function for call to .*::write\(vregcache::Reg, vregcache::u64\)
#include "common.h"

namespace vregcache {

Result<void> test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.write(Reg::kRip, u64{1});
#else
	return cache.write(loaded, Reg::kRip, u64{1});
#endif
}

}  // namespace vregcache
