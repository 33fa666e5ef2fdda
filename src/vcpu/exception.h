// SPDX-License-Identifier: GPL-2.0
// Exceptions that the module raises for the guest.
#pragma once

#include "vcpu/guest_state.h"

namespace {

// The exception is delivered first.  An injected interrupt or NMI is not lost: it becomes pending.  Another exception, or INT n,
// is dropped: its instruction will execute again (SDM Vol. 3A, table 6-5).
inline void raise(Vcpu& vcpu, Event event);

inline Result<void> set_resume_flag(Vcpu& vcpu, const LoadedVmcs& vmcs);

// A fault of the instruction at RIP.  Fault-class exceptions push RFLAGS with RF set, so that a breakpoint on the
// instruction does not fire twice (SDM Vol. 3B, 18.3.1.1).
inline Result<void> raise_fault(Vcpu& vcpu, const LoadedVmcs& vmcs, Event event);

inline Result<void> raise_general_protection(Vcpu& vcpu, const LoadedVmcs& vmcs);
inline Result<void> raise_invalid_opcode(Vcpu& vcpu, const LoadedVmcs& vmcs);

// @dr6_bits: the DR6 bits that report the cause; the others are sticky or constant.
inline Result<void> raise_debug(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 dr6_bits);

}  // namespace
