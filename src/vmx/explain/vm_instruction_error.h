// SPDX-License-Identifier: GPL-2.0
// Meanings of the VM-instruction error numbers (SDM Vol. 3C, 31.4).
#pragma once

#include "vmx/types.h"

namespace {

namespace vm_instruction_error {
constexpr u32 kInvalidControl = 7, kInvalidHostState = 8;
}

inline const char* vm_instruction_error_text(u32 number);

}  // namespace
