// SPDX-License-Identifier: GPL-2.0
// A number that is the encoding of no field.
// expect-error: static assertion failed: not the encoding of a VMCS field
#include "common.h"

namespace vregcache {

bool test(const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return vmcs.read(Field<0x2011>()).ok();
#else
	return vmcs.read(Field<0x2010>()).ok();
#endif
}

}  // namespace vregcache
