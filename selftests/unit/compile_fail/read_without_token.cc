// SPDX-License-Identifier: GPL-2.0
// A read by somebody who has not shown that the VMCS is loaded.
// expect-error: no matching function for call to .*::read<vregcache::Reg::kRip>\(\)
#include "common.h"

namespace vregcache {

bool test(TestCache& cache, [[maybe_unused]] const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.read<Reg::kRip>().ok();
#else
	return cache.read<Reg::kRip>(vmcs).ok();
#endif
}

}  // namespace vregcache
