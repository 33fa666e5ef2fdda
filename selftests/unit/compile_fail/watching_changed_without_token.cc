// SPDX-License-Identifier: GPL-2.0
// A change of watching without a token.
// expect-error: no matching function for call to .*::watching_changed\(\)
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.watching_changed();
#else
	cache.watching_changed(loaded);
#endif
}

}  // namespace vregcache
