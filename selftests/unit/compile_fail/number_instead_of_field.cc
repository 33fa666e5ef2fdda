// SPDX-License-Identifier: GPL-2.0
// A bare number instead of a field.
// expect-error: no matching function for call to .*::read\(vregcache::u32\)
#include "common.h"

namespace vregcache {

bool test(const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return vmcs.read(u32{0x681e}).ok();
#else
	return vmcs.read(kHostRip).ok();
#endif
}

}  // namespace vregcache
