// SPDX-License-Identifier: GPL-2.0
// A number between the last register and the first segment.
// expect-error: no matching function for call to .*::read<\(vregcache::Reg\)31>
#include "common.h"

namespace vregcache {

bool test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.read<static_cast<Reg>(31)>(vmcs).ok();
#else
	return cache.read<static_cast<Reg>(32)>(vmcs).ok();
#endif
}

}  // namespace vregcache
