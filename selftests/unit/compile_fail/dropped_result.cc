// SPDX-License-Identifier: GPL-2.0
// An error that is ignored.
// expect-error: ignoring returned value of type .*Result<void>.*\[-Werror=unused-result\]
#include "common.h"

namespace vregcache {

bool test(TestCache& cache, const Pinned& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.write_back(vmcs);
	return true;
#else
	return cache.write_back(vmcs).ok();
#endif
}

}  // namespace vregcache
