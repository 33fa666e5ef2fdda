// SPDX-License-Identifier: GPL-2.0
// tell_vm_exit() without a token.
// expect-error: no matching function for call to .*::tell_vm_exit(<>)?\(\)
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.tell_vm_exit();
#else
	cache.tell_vm_exit(pinned);
#endif
}

}  // namespace vregcache
