// SPDX-License-Identifier: GPL-2.0
// IN, OUT, INS and OUTS.
#include "vcpu/exits/breakpoint.h"
#include "vcpu/exits/exits.h"
#include "vcpu/exits/port_io.h"
#include "vcpu/exits/string_memory.h"
#include "vcpu/injection.h"
#include "vcpu/instruction.h"

namespace {

constexpr u32 kIoDataBytes = kPageSize;

inline void ask_userspace(Vcpu& vcpu)
{
	vcpu.due |= Vcpu::kUnfinishedIo;
	vcpu.run->exit_reason = KVM_EXIT_IO;
	vcpu.run->io.direction = vcpu.io.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	vcpu.run->io.size = vcpu.io.size;
	vcpu.run->io.port = vcpu.io.port;
	vcpu.run->io.count = vcpu.io.count;
	vcpu.run->io.data_offset = kPageSize;
}

// ---- INS and OUTS: the exit ----

// A register of the string instruction plus @delta, in the instruction's address size: 32-bit operations clear the upper
// half, 16-bit ones leave everything above alone.
inline u64 advance_in_mask(u64 value, u64 mask, u64 delta)
{
	u64 kept = mask == 0xffff ? value & ~mask : 0;
	return kept | ((value + delta) & mask);
}

// Elements from @offset until the index register wraps at its address size; the linear address does not wrap there.
inline u64 elements_until_wrap(const PortIo& io, u64 offset, bool backwards, u32 at_most)
{
	u64 before_last = (backwards ? offset : io.address_mask - offset) / io.size;
	return before_last < at_most ? before_last + 1 : at_most;
}

// Does the guest get an event or a trap after the first iteration?  If so, the exit must transfer one element only.
inline Result<bool> stops_after_one(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags)
{
	if ((flags & rflags::kTf) || vcpu.breakpoints_armed)
		return true;
	if ((flags & rflags::kIf) && (vcpu.pending.interrupt || userspace_wants_interrupt_window(vcpu)))
		return true;
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	return vcpu.pending.nmis && !(blocking & interruptibility::kBlockingByNmi);
}

// No iteration is left.  With 32-bit addresses the instruction has written ECX.
inline Result<Next> finish_without_iteration(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	vcpu.gpr()[Gpr::kRcx] = advance_in_mask(vcpu.gpr()[Gpr::kRcx], vcpu.io.address_mask, 0);
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

inline Result<Next> handle_string_io(Vcpu& vcpu, const LoadedVmcs& vmcs, IoQualification qualification)
{
	PortIo& io = vcpu.io;
	u32 information = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionInformation>(vmcs));
	// Address size (SDM Vol. 3C, table 28-9).  CPUs that do not report it are older than unrestricted guest.
	u32 size_code = information >> 7 & 7;
	io.address_mask = size_code == 0 ? 0xffff : size_code == 1 ? 0xffffffff : ~u64{0};
	u64 remaining = qualification.repeat() ? vcpu.gpr()[Gpr::kRcx] & io.address_mask : 1;
	if (!remaining)
		return finish_without_iteration(vcpu, vmcs);
	u32 segment_code = information >> 15 & 7;
	if (!io.in && segment_code <= static_cast<u32>(Segment::kGs))
		io.segment = static_cast<Segment>(segment_code);
	io.linear = VREGCACHE_TRY(vcpu.cache.read<Reg::kGuestLinearAddress>(vmcs));
	io.offset = vcpu.gpr()[index_register(io)] & io.address_mask;
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	bool backwards = flags & rflags::kDf;

	u32 batch = kIoDataBytes / io.size;
	if (remaining < batch)
		batch = static_cast<u32>(remaining);
	if (batch > 1 && VREGCACHE_TRY(stops_after_one(vcpu, vmcs, flags)))
		batch = 1;
	io.count = static_cast<u32>(elements_until_wrap(io, io.offset, backwards, batch));

	StringMemory memory = VREGCACHE_TRY(StringMemory::begin(vcpu, vmcs, io));
	u32 count = memory.copy(io, backwards, !io.in);
	// Elements before a fault are transferred first; the instruction then restarts at the one that faults.
	if (!count && memory.outcome() == StringMemory::Outcome::kFault) {
		VREGCACHE_TRY(memory.raise(vmcs));
		return Next::kResume;
	}
	if (!count)
		return report_emulation_failure(vcpu, ExitReason::kIo, vcpu.io.qualification, memory.guest_physical());
	io.count = count;
	ask_userspace(vcpu);
	return Next::kUserspace;
}

VRC_TRACEABLE Result<Next> handle_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	IoQualification io{VREGCACHE_TRY(read_qualification_and_more(vcpu, vmcs))};
	vcpu.io = {};
	vcpu.io.in = io.in();
	vcpu.io.string = io.string();
	vcpu.io.repeat = io.repeat();
	vcpu.io.size = io.size();
	vcpu.io.port = io.port();
	vcpu.io.count = 1;
	vcpu.io.rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
	vcpu.io.qualification = io.word;
	if (io.string())
		return handle_string_io(vcpu, vmcs, io);
	if (!io.in())
		__builtin_memcpy(vcpu.io_data, &vcpu.gpr()[Gpr::kRax], io.size());
	ask_userspace(vcpu);
	return Next::kUserspace;
}

// ---- where the instruction is ----

inline Result<void> remember_linear_rip(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (!(vcpu.due & Vcpu::kUnfinishedIo) || vcpu.io.linear_rip_known)
		return {};
	vcpu.io.linear_rip = VREGCACHE_TRY(linear_rip(vcpu, vmcs, vcpu.io.rip));
	vcpu.io.linear_rip_known = true;
	return {};
}

inline Result<bool> is_still_at_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
	if (!vcpu.io.linear_rip_known) [[likely]]
		return rip == vcpu.io.rip;
	return VREGCACHE_TRY(linear_rip(vcpu, vmcs, rip)) == vcpu.io.linear_rip;
}

// ---- completion ----

VREGCACHE_COLD Result<u64> breakpoints_met(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io, u32 count,
					   bool backwards)
{
	Breakpoints breakpoints = VREGCACHE_TRY(Breakpoints::begin(vcpu, vmcs));
	u64 met = breakpoints.matched_by_port(io.port, io.size);
	for (u32 i = 0; io.string && i < count; i++) {
		u64 distance = u64{i} * io.size;
		met |= breakpoints.matched_by_memory(backwards ? io.linear - distance : io.linear + distance, io.size,
						     io.in);
	}
	return met;
}

// Userspace may have changed the registers since the exit: the current values count.
inline Result<void> follow_registers(Vcpu& vcpu, const LoadedVmcs& vmcs, PortIo& io, bool backwards)
{
	u64 offset = vcpu.gpr()[index_register(io)] & io.address_mask;
	io.linear += offset - io.offset;
	io.offset = offset;
	if (io.linear_rip_known) {
		bool has_base = io.segment == Segment::kFs || io.segment == Segment::kGs ||
				!VREGCACHE_TRY(in_64bit_mode(vcpu, vmcs));
		io.linear = offset;
		if (has_base)
			io.linear += VREGCACHE_TRY(
				vcpu.cache.read(vmcs, segment_register(io.segment, SegmentPart::kBase)));
	}
	u64 left = vcpu.gpr()[Gpr::kRcx] & io.address_mask;
	if (io.repeat && io.count > left)
		io.count = static_cast<u32>(left);
	io.count = static_cast<u32>(elements_until_wrap(io, io.offset, backwards, io.count));
	return {};
}

// @count elements of @io are done.  Returns true if the instruction has more to do.
inline bool advance_registers(Vcpu& vcpu, const PortIo& io, u32 count, bool backwards)
{
	u64 bytes = u64{count} * io.size;
	Gpr pointer = index_register(io);
	vcpu.gpr()[pointer] = advance_in_mask(vcpu.gpr()[pointer], io.address_mask, backwards ? -bytes : bytes);
	if (!io.repeat)
		return count == 0;
	vcpu.gpr()[Gpr::kRcx] = advance_in_mask(vcpu.gpr()[Gpr::kRcx], io.address_mask, -u64{count});
	return vcpu.gpr()[Gpr::kRcx] & io.address_mask;
}

// Iterations are done, and the guest is still at the instruction.  RF is set from now on: a breakpoint on the instruction
// fired before the first iteration, and must not fire again (SDM Vol. 3B, 18.3.1.1).
inline Result<void> stay_at_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 breakpoints)
{
	bool after_mov_ss = VREGCACHE_TRY(end_blocking(vcpu, vmcs));
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	vcpu.cache.write<Reg::kRflags>(vmcs, flags | rflags::kRf);
	VREGCACHE_TRY(trap_if_due(vcpu, vmcs, flags, after_mov_ss, breakpoints));
	return {};
}

VREGCACHE_OUT_OF_LINE Result<Next> complete_string_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	bool backwards = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kDf;
	VREGCACHE_TRY(follow_registers(vcpu, vmcs, vcpu.io, backwards));
	const PortIo io = vcpu.io;
	if (io.in) {
		StringMemory memory = VREGCACHE_TRY(StringMemory::begin(vcpu, vmcs, io));
		u32 count = memory.copy(io, backwards, true);
		// Another vCPU or userspace may have removed the memory since the check.  The elements copied so far count.
		if (memory.outcome() != StringMemory::Outcome::kDone) {
			advance_registers(vcpu, io, count, backwards);
			if (count)
				VREGCACHE_TRY(end_blocking(vcpu, vmcs));
			if (memory.outcome() == StringMemory::Outcome::kFault) {
				VREGCACHE_TRY(memory.raise(vmcs));
				return Next::kResume;
			}
			// The port has been read, so the data are kept for another attempt, if userspace provides the memory.
			u64 bytes = u64{count} * io.size;
			vcpu.due |= Vcpu::kUnfinishedIo;
			vcpu.io.count -= count;
			vcpu.io.data_offset += static_cast<u32>(bytes);
			vcpu.io.linear += backwards ? -bytes : bytes;
			vcpu.io.offset = vcpu.gpr()[index_register(io)] & io.address_mask;
			return report_emulation_failure(vcpu, ExitReason::kIo, vcpu.io.qualification,
							memory.guest_physical());
		}
	}
	u64 breakpoints = 0;
	if (vcpu.breakpoints_armed) [[unlikely]]
		breakpoints = VREGCACHE_TRY(breakpoints_met(vcpu, vmcs, io, io.count, backwards));
	if (advance_registers(vcpu, io, io.count, backwards))
		VREGCACHE_TRY(stay_at_instruction(vcpu, vmcs, breakpoints));
	else if (breakpoints) [[unlikely]]
		VREGCACHE_TRY(skip_instruction(vcpu, vmcs, breakpoints));
	else
		VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

inline Result<Next> complete_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (!(vcpu.due & Vcpu::kUnfinishedIo))
		return Next::kResume;
	vcpu.due &= ~Vcpu::kUnfinishedIo;
	// Userspace has moved the vCPU elsewhere: the instruction must not be completed.
	if (!VREGCACHE_TRY(is_still_at_io(vcpu, vmcs)))
		return Next::kResume;
	if (vcpu.io.string)
		return complete_string_io(vcpu, vmcs);
	if (vcpu.io.in) {
		const u64 mask = (u64{1} << 8 * vcpu.io.size) - 1;
		u64 value;
		__builtin_memcpy(&value, vcpu.io_data, sizeof(value));
		// A 32-bit destination clears the upper half; smaller ones leave the rest alone.
		u64 kept = vcpu.io.size == 4 ? 0 : vcpu.gpr()[Gpr::kRax] & ~mask;
		vcpu.gpr()[Gpr::kRax] = kept | (value & mask);
	}
	if (vcpu.breakpoints_armed) [[unlikely]]
		VREGCACHE_TRY(
			skip_instruction(vcpu, vmcs, VREGCACHE_TRY(breakpoints_met(vcpu, vmcs, vcpu.io, 1, false))));
	else
		VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

}  // namespace
