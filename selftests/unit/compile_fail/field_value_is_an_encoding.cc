// SPDX-License-Identifier: GPL-2.0
// The encoding of a field instead of a value.
// expect-error: no matching function for call to .*::write\(const vregcache::Field<27670>
#include "common.h"

namespace vregcache {

Result<void> test(const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return vmcs.write(kHostRip, kHostRsp);
#else
	return vmcs.write(kHostRip, u64{0x1000});
#endif
}

}  // namespace vregcache
