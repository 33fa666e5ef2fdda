// SPDX-License-Identifier: GPL-2.0
// 64 bits from a field of 16: the result is of the field's width and no other.
// expect-error: could not convert .*Result<short unsigned int>.* to .*Result<long long unsigned int>
#include "common.h"

namespace vregcache {

auto test(const Loaded& vmcs) -> decltype(vmcs.read(kHostRip))
{
#ifdef VRC_MUST_NOT_COMPILE
	return vmcs.read(kHostCsSelector);
#else
	return vmcs.read(kHostRip);
#endif
}

}  // namespace vregcache
