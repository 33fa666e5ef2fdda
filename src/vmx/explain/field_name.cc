// SPDX-License-Identifier: GPL-2.0
// The SDM's names of VMCS fields.
#include "vmx/explain/field_name.h"

namespace {

inline const char* field_name(u32 encoding)
{
	switch (encoding) {
#define VREGCACHE_FIELD(encoding, constant, name) \
	case encoding:                            \
		return name;
#include <vregcache/fields.def>
#undef VREGCACHE_FIELD
	default:
		return "unnamed field";
	}
}

}  // namespace
