// SPDX-License-Identifier: GPL-2.0
// A value that is read and ignored, and its error with it.
// expect-error: ignoring returned value of type .*Result<long long unsigned int>.*\[-Werror=unused-result\]
#include "common.h"

namespace vregcache {

bool test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.read<Reg::kRip>(vmcs);
	return true;
#else
	return cache.read<Reg::kRip>(vmcs).ok();
#endif
}

}  // namespace vregcache
