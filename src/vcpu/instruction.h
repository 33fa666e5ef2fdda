// SPDX-License-Identifier: GPL-2.0
// Where an instruction is, and the effects of completing it: RIP advances, blocking by STI and MOV SS ends, RF is cleared, and
// traps are raised.
#pragma once

#include "vcpu/exception.h"

namespace {

// The linear address of code at @rip, with the current CS and mode.
inline Result<u64> linear_rip(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 rip);

// Does each instruction trap?  With BTF, only branches do (SDM Vol. 3B, 18.4.3).
inline Result<bool> traps_each_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags);

// Ends blocking by STI and by MOV SS, as each instruction does, and the first iteration of a repeated one.  Returns true if
// MOV SS was blocking.
inline Result<bool> end_blocking(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Moves RIP past the instruction.  Returns true if MOV SS was blocking.
inline Result<bool> advance_rip(Vcpu& vcpu, const LoadedVmcs& vmcs);

// For an instruction with a qualification that will be emulated: reads it, and what skip_instruction() will need.
inline Result<u64> read_qualification_and_more(Vcpu& vcpu, const LoadedVmcs& vmcs);

// An instruction, or an iteration of a repeated one, has been emulated, and has matched these breakpoints (bits of DR6).
// @after_mov_ss: it has ended blocking by MOV SS.  Returns true if the guest gets a debug exception.
inline Result<bool> trap_if_due(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags, bool after_mov_ss, u64 breakpoints);

// The instruction at RIP was emulated: applies all effects of a completed instruction.
Result<void> skip_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs);
// The same for one that matched these breakpoints (bits of DR6), or none.
Result<void> skip_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 breakpoints);

// Inline variant, for an exit that userspace waits for.
[[gnu::always_inline]] inline Result<void> skip_instruction_inline(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
