// SPDX-License-Identifier: GPL-2.0 OR MIT
// A constant for each field of fields.def, whose type has its encoding.
#pragma once

#include "vmcs_field.h"

namespace vregcache {

// NOLINTNEXTLINE(bugprone-macro-parentheses): a name is no expression
#define VREGCACHE_FIELD(encoding, constant, name) constexpr Field<encoding> constant{};
#include "fields.def"
#undef VREGCACHE_FIELD

}  // namespace vregcache
