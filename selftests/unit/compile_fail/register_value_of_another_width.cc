// SPDX-License-Identifier: GPL-2.0
// A value that is not as wide as the register.
// expect-error: no matching function for call to .*::write<vregcache::Reg::kGdtrLimit>
#include "common.h"

namespace vregcache {

void test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.write<Reg::kGdtrLimit>(vmcs, u64{1});
#else
	cache.write<Reg::kGdtrLimit>(vmcs, u32{1});
#endif
}

}  // namespace vregcache
