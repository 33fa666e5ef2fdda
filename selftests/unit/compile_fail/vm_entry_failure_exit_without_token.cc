// SPDX-License-Identifier: GPL-2.0
// vm_entry_failure_exit() without a token.
// expect-error: no matching function for call to .*::vm_entry_failure_exit(<>)?\(\)
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.vm_entry_failure_exit();
#else
	cache.vm_entry_failure_exit(pinned);
#endif
}

}  // namespace vregcache
