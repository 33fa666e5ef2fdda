// SPDX-License-Identifier: GPL-2.0
// The field of a register, written without the cache's knowledge.
// expect-error: no matching function for call to .*::write\(const vregcache::Field<26654>
#include "common.h"

namespace vregcache {

Result<void> test(const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return vmcs.write(kGuestRip, u64{0x1000});
#else
	return vmcs.write(kHostRip, u64{0x1000});
#endif
}

}  // namespace vregcache
