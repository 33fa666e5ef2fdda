// SPDX-License-Identifier: GPL-2.0
// A value that is not as wide as the field.
// expect-error: no matching function for call to .*::write\(const vregcache::Field<3074>
#include "common.h"

namespace vregcache {

Result<void> test(const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return vmcs.write(kHostCsSelector, u64{8});
#else
	return vmcs.write(kHostCsSelector, u16{8});
#endif
}

}  // namespace vregcache
