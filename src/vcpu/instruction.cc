// SPDX-License-Identifier: GPL-2.0
// Where an instruction is, and the effects of completing it.
#include "vcpu/instruction.h"

namespace {

inline Result<u64> linear_rip(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 rip)
{
	if (VREGCACHE_TRY(in_64bit_mode(vcpu, vmcs)))
		return rip;
	u64 base = VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(Segment::kCs, SegmentPart::kBase)));
	return u64{static_cast<u32>(base + rip)};
}

inline Result<bool> traps_each_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags)
{
	if (!(flags & rflags::kTf))
		return false;
	return !(VREGCACHE_TRY(vcpu.cache.read<Reg::kDebugctl>(vmcs)) & debugctl::kBtf);
}

inline Result<bool> end_blocking(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking & ~kInterruptShadow);
	return (blocking & kBlockingByMovSs) != 0;
}

inline Result<bool> advance_rip(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u32 length = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionLength>(vmcs));
	VREGCACHE_TRY(add_to_rip(vcpu.cache, vmcs, length));
	return end_blocking(vcpu, vmcs);
}

inline Result<u64> read_qualification_and_more(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	[[gnu::uninitialized]] u64 qualification, rip, flags;
	[[gnu::uninitialized]] u32 length, blocking;
	Result<void> read = vcpu.cache.read_all<Reg::kExitQualification, Reg::kRip, Reg::kExitInstructionLength,
						Reg::kInterruptibility, Reg::kRflags>(vmcs, qualification, rip, length,
										      blocking, flags);
	if (!read.ok()) [[unlikely]]
		return read.error();
	return qualification;
}

inline Result<bool> trap_if_due(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags, bool after_mov_ss, u64 breakpoints)
{
	u64 causes = breakpoints;
	if (!(flags & rflags::kTf) && !after_mov_ss && !causes)
		return false;
	// A breakpoint that a preceding MOV SS held back is reported now, in one exception with the single step; an event that
	// VM-entry injects would discard it.
	u64 pending = VREGCACHE_TRY(vcpu.cache.read<Reg::kPendingDebugExceptions>(vmcs));
	if (pending & pending_debug::kEnabledBreakpoint)
		causes |= pending & dr6::kBreakpoints;
	if (VREGCACHE_TRY(traps_each_instruction(vcpu, vmcs, flags)))
		causes |= dr6::kSingleStep;
	if (!causes)
		return false;
	vcpu.cache.write<Reg::kPendingDebugExceptions>(vmcs, u64{0});
	VREGCACHE_TRY(raise_debug(vcpu, vmcs, causes));
	return true;
}

VREGCACHE_OUT_OF_LINE Result<void> skip_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 breakpoints)
{
	bool after_mov_ss = VREGCACHE_TRY(advance_rip(vcpu, vmcs));
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	// RF suppresses breakpoints for one instruction.
	if (flags & rflags::kRf)
		vcpu.cache.write<Reg::kRflags>(vmcs, flags & ~rflags::kRf);
	VREGCACHE_TRY(trap_if_due(vcpu, vmcs, flags, after_mov_ss, breakpoints));
	return {};
}

inline Result<void> skip_instruction_inline(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	[[gnu::uninitialized]] u64 rip, flags;
	[[gnu::uninitialized]] u32 length, blocking;
	Result<void> read =
		vcpu.cache.read_all<Reg::kRip, Reg::kExitInstructionLength, Reg::kInterruptibility, Reg::kRflags>(
			vmcs, rip, length, blocking, flags);
	if (!read.ok()) [[unlikely]]
		return read;
	// Nearly always only RIP has to move.
	bool extraordinary = (flags & (rflags::kTf | rflags::kRf)) || (blocking & kInterruptShadow) ||
			     (rip ^ (rip + length)) >> 32;
	if (extraordinary) [[unlikely]]
		return skip_instruction(vcpu, vmcs, 0);
	vcpu.cache.write<Reg::kRip>(vmcs, rip + length);
	return {};
}

VREGCACHE_OUT_OF_LINE Result<void> skip_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return skip_instruction_inline(vcpu, vmcs);
}

}  // namespace
