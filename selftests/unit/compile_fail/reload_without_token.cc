// SPDX-License-Identifier: GPL-2.0
// Registers that are given up by somebody who has not shown that the VMCS is loaded.
// expect-error: no matching function for call to .*::mark_for_reload\(vregcache::RegSet\)
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.mark_for_reload(RegSet(Reg::kRip));
#else
	cache.mark_for_reload(loaded, RegSet(Reg::kRip));
#endif
}

}  // namespace vregcache
