// SPDX-License-Identifier: GPL-2.0
// A write by somebody who has not shown that the VMCS is loaded.
// expect-error: no matching function for call to .*::write<vregcache::Reg::kRip>\(vregcache::u64\)
#include "common.h"

namespace vregcache {

void test(TestCache& cache, [[maybe_unused]] const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.write<Reg::kRip>(u64{1});
#else
	cache.write<Reg::kRip>(vmcs, u64{1});
#endif
}

}  // namespace vregcache
