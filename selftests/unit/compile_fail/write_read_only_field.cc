// SPDX-License-Identifier: GPL-2.0
// A read-only field of the VMCS.
// expect-error: no matching function for call to .*::write\(const vregcache::Field<17408>
#include "common.h"

namespace vregcache {

Result<void> test(const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return vmcs.write(kVmInstructionError, u32{1});
#else
	return vmcs.write(kVmEntryControls, u32{1});
#endif
}

}  // namespace vregcache
