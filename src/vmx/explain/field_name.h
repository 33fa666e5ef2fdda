// SPDX-License-Identifier: GPL-2.0
// The SDM's names of VMCS fields, for messages.
#pragma once

#include "vmx/types.h"

namespace {

constexpr const char* field_name(u32 encoding)
{
	switch (encoding) {
#define VREGCACHE_FIELD(encoding, constant, name) \
	case encoding:                            \
		return name;
#include <vregcache/fields.def>
#undef VREGCACHE_FIELD
	default:
		return "a field without a name here";
	}
}

}  // namespace
