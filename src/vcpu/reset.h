// SPDX-License-Identifier: GPL-2.0
// The state of a vCPU after RESET.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// As SDM Vol. 3A, table 10-1, has it.
inline Result<void> reset_registers(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
