// SPDX-License-Identifier: GPL-2.0
// The number after the last register.
// expect-error: no matching function for call to .*::read<vregcache::Reg::kEnd>
#include "common.h"

namespace vregcache {

bool test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.read<static_cast<Reg>(64)>(vmcs).ok();
#else
	return cache.read<static_cast<Reg>(63)>(vmcs).ok();
#endif
}

}  // namespace vregcache
