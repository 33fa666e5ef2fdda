// SPDX-License-Identifier: GPL-2.0
// The number after the last register.
// expect-error: no matching function for call to .*::write<vregcache::Reg::kEnd>
#include "common.h"

namespace vregcache {

void test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.write<static_cast<Reg>(64)>(vmcs, u32{1});
#else
	cache.write<static_cast<Reg>(63)>(vmcs, u32{1});
#endif
}

}  // namespace vregcache
