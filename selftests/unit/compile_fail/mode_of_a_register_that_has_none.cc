// SPDX-License-Identifier: GPL-2.0
// CR3, read as if it could be an operand of the mode's width.
// expect-error: no matching function for call to .read_in_mode<vregcache::Reg::kCr3>
#include "common.h"

namespace vregcache {

Result<u64> test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return read_in_mode<Reg::kCr3>(cache, vmcs);
#else
	return read_in_mode<Reg::kRip>(cache, vmcs);
#endif
}

}  // namespace vregcache
