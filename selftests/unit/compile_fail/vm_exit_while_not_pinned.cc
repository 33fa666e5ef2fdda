// SPDX-License-Identifier: GPL-2.0
// VM-exit where interrupts may come.
// expect-error: (cannot convert|invalid initialization of reference|could not convert).*PinnedVmcs
#include "common.h"

namespace vregcache {

Result<void> test(TestCache& cache, [[maybe_unused]] const Loaded& loaded, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.vm_exit(loaded);
#else
	return cache.vm_exit(pinned);
#endif
}

}  // namespace vregcache
