// SPDX-License-Identifier: GPL-2.0
// The SDM's names of VMCS fields, for messages.
#pragma once

#include "vmx/types.h"

namespace {

inline const char* field_name(u32 encoding);

}  // namespace
