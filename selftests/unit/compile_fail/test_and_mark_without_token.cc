// SPDX-License-Identifier: GPL-2.0
// A value from elsewhere without a token.
// expect-error: no matching function for call to .*::test_and_mark_available<vregcache::Reg::kRip>\(vregcache::u64\)
#include "common.h"

namespace vregcache {

bool test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.test_and_mark_available<Reg::kRip>(u64{1});
#else
	return cache.test_and_mark_available<Reg::kRip>(loaded, u64{1});
#endif
}

}  // namespace vregcache
