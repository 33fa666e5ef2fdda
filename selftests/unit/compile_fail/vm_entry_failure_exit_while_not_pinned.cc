// SPDX-License-Identifier: GPL-2.0
// vm_entry_failure_exit() where interrupts may come.
// expect-error: (cannot convert|invalid initialization of reference|could not convert).*PinnedVmcs
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Loaded& loaded, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.vm_entry_failure_exit(loaded);
#else
	cache.vm_entry_failure_exit(pinned);
#endif
}

}  // namespace vregcache
