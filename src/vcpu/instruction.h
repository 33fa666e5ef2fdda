// SPDX-License-Identifier: GPL-2.0
// What a completed instruction does: RIP moves, blocking by STI and MOV SS ends, RF is cleared, and traps are raised.
#pragma once

#include "vcpu/exception.h"

namespace {

// Does each instruction trap?  With BTF, only branches do (SDM Vol. 3B, 18.4.3).
inline Result<bool> traps_each_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags);

// Ends blocking by STI and by MOV SS, as each instruction does, and the first iteration of a repeated one.  True: MOV SS
// was blocking.
inline Result<bool> end_blocking(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Goes behind the instruction at RIP.  True: MOV SS was blocking.
inline Result<bool> advance_rip(Vcpu& vcpu, const LoadedVmcs& vmcs);

// For an instruction that will be carried out and that has a qualification: reads it, and what skip_instruction() will want.
inline Result<u64> read_qualification_and_more(Vcpu& vcpu, const LoadedVmcs& vmcs);

// An instruction, or an iteration of a repeated one, has been carried out, and these breakpoints (bits of DR6) were met in
// it.  @after_mov_ss: blocking by MOV SS has ended with it.  True: the guest gets a debug exception.
inline Result<bool> trap_if_due(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags, bool after_mov_ss, u64 breakpoints);

// The instruction at RIP was carried out for the guest: all that a completed instruction does.
Result<void> skip_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs);
// The same for one that met these breakpoints (bits of DR6), or none.
Result<void> skip_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 breakpoints);

// Inline variant, for an exit that userspace waits for.
[[gnu::always_inline]] inline Result<void> skip_instruction_inline(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	[[gnu::uninitialized]] u64 rip, flags;
	[[gnu::uninitialized]] u32 length, blocking;
	Result<void> read =
		vcpu.cache.read_all<Reg::kRip, Reg::kExitInstructionLength, Reg::kInterruptibility, Reg::kRflags>(
			vmcs, rip, length, blocking, flags);
	if (!read.ok()) [[unlikely]]
		return read;
	// Nearly always all that is to do is to move RIP.
	bool extraordinary = (flags & (rflags::kTf | rflags::kRf)) ||
			     (blocking & (kBlockingBySti | kBlockingByMovSs)) || (rip ^ (rip + length)) >> 32;
	if (extraordinary) [[unlikely]]
		return skip_instruction(vcpu, vmcs, 0);
	vcpu.cache.write<Reg::kRip>(vmcs, rip + length);
	return {};
}

}  // namespace
