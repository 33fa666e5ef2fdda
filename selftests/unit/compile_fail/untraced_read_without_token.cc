// SPDX-License-Identifier: GPL-2.0
// An untraced read without a token.
// expect-error: no matching function for call to .*::read_untraced<vregcache::Reg::kRip>\(\)
#include "common.h"

namespace vregcache {

Result<u64> test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.read_untraced<Reg::kRip>();
#else
	return cache.read_untraced<Reg::kRip>(loaded);
#endif
}

}  // namespace vregcache
