// SPDX-License-Identifier: GPL-2.0
// Only hardware writes exit information.
// expect-error: no matching function for call to .*::write<vregcache::Reg::kExitQualification>
#include "common.h"

namespace vregcache {

void test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.write<Reg::kExitQualification>(vmcs, u64{1});
#else
	cache.write<Reg::kCr3>(vmcs, u64{1});
#endif
}

}  // namespace vregcache
