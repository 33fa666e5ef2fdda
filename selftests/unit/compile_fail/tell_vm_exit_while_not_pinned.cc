// SPDX-License-Identifier: GPL-2.0
// tell_vm_exit() where interrupts may come.
// expect-error: no matching function for call to .*::tell_vm_exit\(const vregcache::Loaded&\)
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Loaded& loaded, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.tell_vm_exit(loaded);
#else
	cache.tell_vm_exit(pinned);
#endif
}

}  // namespace vregcache
