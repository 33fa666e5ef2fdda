// SPDX-License-Identifier: GPL-2.0
// DR6 and DR7 of the guest.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// DR7 decides whether the guest's breakpoints are loaded.
inline void set_dr7(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value);

// DR6 after a write of @value.
inline u64 dr6_from(u64 value);

}  // namespace
