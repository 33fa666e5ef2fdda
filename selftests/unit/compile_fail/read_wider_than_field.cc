// SPDX-License-Identifier: GPL-2.0
// 64 bits from a 16-bit field: the result has exactly the field's width.
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
