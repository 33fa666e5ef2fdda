// SPDX-License-Identifier: GPL-2.0
// vm_exit_untraced() without a token.
// expect-error: no matching function for call to .*::vm_exit_untraced(<>)?\(\)
#include "common.h"

namespace vregcache {

Result<void> test(TestCache& cache, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.vm_exit_untraced();
#else
	return cache.vm_exit_untraced(pinned);
#endif
}

}  // namespace vregcache
