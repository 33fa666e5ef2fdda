// SPDX-License-Identifier: GPL-2.0
// vm_entry_failed() without a token.
// expect-error: no matching function for call to .*::vm_entry_failed(<>)?\(\)
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.vm_entry_failed();
#else
	cache.vm_entry_failed(pinned);
#endif
}

}  // namespace vregcache
