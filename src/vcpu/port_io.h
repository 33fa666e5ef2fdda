// SPDX-License-Identifier: GPL-2.0
// IN, OUT, INS and OUTS: userspace does the port, the module moves the data.
//
// The instruction completes when userspace runs the vCPU again; until then the registers are as before it.
#pragma once

#include "exit_result.h"
#include "msr.h"

namespace {

constexpr u32 kIoDataBytes = kPageSize;

// The exit qualification of an I/O instruction (SDM Vol. 3C, table 28-5).
struct IoQualification {
	u64 word;

	u8 size() const { return (word & 7) + 1; }
	bool in() const { return word & 1u << 3; }
	bool string() const { return word & 1u << 4; }
	bool repeat() const { return word & 1u << 5; }
	u16 port() const { return static_cast<u16>(word >> 16); }
};

inline void ask_userspace(Vcpu& vcpu, u16 port)
{
	vcpu.io.active = true;
	vcpu.run->exit_reason = KVM_EXIT_IO;
	vcpu.run->io.direction = vcpu.io.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	vcpu.run->io.size = vcpu.io.size;
	vcpu.run->io.port = port;
	vcpu.run->io.count = vcpu.io.count;
	vcpu.run->io.data_offset = kPageSize;
}

// A register of the string instruction after @elements of them, as its address size has it: 32-bit operations clear the
// upper half, 16-bit ones leave everything above alone.
inline u64 advance(u64 value, u64 mask, u64 delta)
{
	u64 kept = mask == 0xffff ? value & ~mask : 0;
	return kept | ((value + delta) & mask);
}

// What segmentation says of a string instruction's memory.
class StringSegment {
 public:
	static Result<StringSegment> begin(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io)
	{
		using namespace vregcache::access_rights;
		StringSegment segment;
		segment.write_ = io.in;
		segment.flat64_ = VREGCACHE_TRY(in_64bit_mode(vcpu, vmcs));
		if (segment.flat64_) {
			segment.linear_bits_ = VREGCACHE_TRY(host_owned_cr4<cr4::kLa57>(vcpu, vmcs)) ? 57 : 48;
			return segment;
		}
		segment.stack_ = io.segment == Segment::kSs;
		segment.limit_ = VREGCACHE_TRY(
			vcpu.cache.read(vmcs, segment_register(io.segment, SegmentPart::kLimit)));
		segment.rights_ = static_cast<u32>(
			VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(io.segment, SegmentPart::kAccessRights))));
		u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
		u64 protected_mode = VREGCACHE_TRY(host_owned_cr0<cr0::kPe>(vcpu, vmcs));
		segment.typed_ = protected_mode && !(flags & rflags::kVm);
		return segment;
	}

	bool flat64() const { return flat64_; }

	// May the element at @offset, which is at @linear, be accessed?  (SDM Vol. 3A, 5.3 to 5.5)
	bool allows(u64 offset, u64 linear, u32 bytes) const
	{
		using namespace vregcache::access_rights;
		if (flat64_)
			return is_canonical(linear, linear_bits_) && is_canonical(linear + bytes - 1, linear_bits_);
		constexpr u32 kCode = 1u << 3, kExpandDown = 1u << 2, kWritableOrReadable = 1u << 1;
		if (typed_) {
			if (rights_ & kUnusable)
				return false;
			bool code = rights_ & kCode, permitted = rights_ & kWritableOrReadable;
			if (write_ ? code || !permitted : code && !permitted)
				return false;
		}
		u64 last = offset + bytes - 1;
		if ((rights_ & (kCode | kExpandDown)) != kExpandDown)
			return last <= limit_;
		return offset > limit_ && last <= (rights_ & kDefaultBig ? 0xffffffff : 0xffff);
	}

	// Raised when it may not.
	Event fault() const { return Event::exception(stack_ ? vector::kStackFault : vector::kGeneralProtection, 0); }

 private:
	bool flat64_ = false;
	bool typed_ = false;  // protected mode: types and null selectors count
	bool stack_ = false;
	bool write_ = false;
	u32 linear_bits_ = 48;
	u64 limit_ = 0;
	u32 rights_ = 0;
};

// Guest memory of a string instruction, element by element.
class StringMemory {
 public:
	enum class Outcome : u8 { kDone, kFault, kNoMemory };

	StringMemory(Vcpu& vcpu, const StringSegment& segment, const PageWalk& walk, Access access)
	    : vcpu_(vcpu), segment_(segment), walk_(walk), access_(access)
	{}

	// Goes through the elements of @io; returns how many went.  Their data are in the data page; without @transfer it
	// only looks whether they could go.  The memory lock is held.
	u32 copy(const PortIo& io, bool backwards, bool transfer)
	{
		u8* data = transfer ? vcpu_.io_data + io.data_offset : nullptr;
		for (u32 i = 0; i < io.count; i++) {
			u64 distance = u64{i} * io.size;
			u64 step = backwards ? -distance : distance;
			if (!segment_.allows(io.offset + step, io.linear + step, io.size)) {
				fault_ = segment_.fault();
				outcome_ = Outcome::kFault;
				return i;
			}
			outcome_ = copy_element(io.linear + step, data ? data + distance : nullptr, io.size);
			if (outcome_ != Outcome::kDone)
				return i;
		}
		outcome_ = Outcome::kDone;
		return io.count;
	}

	// Why copy() stopped.
	Outcome outcome() const { return outcome_; }
	// Where no memory is.
	u64 guest_physical() const { return guest_physical_; }

	// Raises the fault that copy() stopped at.
	Result<void> raise(const LoadedVmcs& vmcs) const
	{
		if (fault_.information.vector() == vector::kPageFault)
			vcpu_.entry.cr2 = fault_address_;
		return raise_fault(vcpu_, vmcs, fault_);
	}

 private:
	Outcome copy_element(u64 linear, u8* data, u32 bytes)
	{
		for (u32 done = 0; done < bytes;) {
			u64 address = linear + done;
			if (!segment_.flat64())
				address = static_cast<u32>(address);
			Translation translation = walk_.translate(address, access_);
			if (translation.outcome == Translation::Outcome::kPageFault) {
				fault_address_ = address;
				fault_ = Event::exception(vector::kPageFault, translation.error_code);
				return Outcome::kFault;
			}
			guest_physical_ = translation.guest_physical;
			u8* memory = nullptr;
			if (translation.outcome == Translation::Outcome::kDone)
				memory = vcpu_.vm->memory.at(guest_physical_, access_.write);
			if (!memory)
				return Outcome::kNoMemory;
			u32 in_page = static_cast<u32>(kPageSize - (address & ~kPageMask));
			u32 chunk = bytes - done < in_page ? bytes - done : in_page;
			if (data && access_.write)
				__builtin_memcpy(memory, data + done, chunk);
			else if (data)
				__builtin_memcpy(data + done, memory, chunk);
			done += chunk;
		}
		return Outcome::kDone;
	}

	Vcpu& vcpu_;
	const StringSegment& segment_;
	const PageWalk& walk_;
	Access access_;
	Outcome outcome_ = Outcome::kDone;
	Event fault_;
	u64 fault_address_ = 0;
	u64 guest_physical_ = 0;
};

// A string instruction reaches where no memory is, which ends the run as any other such access does.
inline Next give_up_string_io(Vcpu& vcpu, u64 guest_physical)
{
	vcpu.run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	vcpu.run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	vcpu.run->internal.ndata = 4;
	vcpu.run->internal.data[0] = 0;
	vcpu.run->internal.data[1] = static_cast<u64>(ExitReason::kIo);
	vcpu.run->internal.data[2] = vcpu.io.qualification;
	vcpu.run->internal.data[3] = guest_physical;
	return Next::kUserspace;
}

inline Result<Next> handle_string_io(Vcpu& vcpu, const LoadedVmcs& vmcs, IoQualification io)
{
	u32 information = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionInformation>(vmcs));
	// Address size (SDM Vol. 3C, table 28-9).  CPUs that do not report it are older than unrestricted guest.
	u32 size_code = information >> 7 & 7;
	vcpu.io.address_mask = size_code == 0 ? 0xffff : size_code == 1 ? 0xffffffff : ~u64{0};
	u64 remaining = io.repeat() ? vcpu.gpr()[Gpr::kRcx] & vcpu.io.address_mask : 1;
	if (!remaining) {
		VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
		return Next::kResume;
	}
	u32 segment_code = information >> 15 & 7;
	if (!io.in() && segment_code <= static_cast<u32>(Segment::kGs))
		vcpu.io.segment = static_cast<Segment>(segment_code);
	vcpu.io.linear = VREGCACHE_TRY(vcpu.cache.read<Reg::kGuestLinearAddress>(vmcs));
	bool backwards = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kDf;
	bool user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3;
	StringSegment segment = VREGCACHE_TRY(StringSegment::begin(vcpu, vmcs, vcpu.io));
	PageWalk walk = VREGCACHE_TRY(PageWalk::begin(vcpu, vmcs));

	u32 batch = kIoDataBytes / io.size();
	if (remaining < batch)
		batch = static_cast<u32>(remaining);
	// The index register wraps at its address size, which the linear address does not.
	u64 offset = vcpu.gpr()[io.in() ? Gpr::kRdi : Gpr::kRsi] & vcpu.io.address_mask;
	u64 room = backwards ? offset / io.size() + 1 : (vcpu.io.address_mask - offset) / io.size() + 1;
	if (room < batch)
		batch = static_cast<u32>(room);
	vcpu.io.offset = offset;
	vcpu.io.count = batch;
	MemoryGuard guard(vcpu.vm->host);
	StringMemory memory(vcpu, segment, walk, {.write = io.in(), .user = user});
	u32 count = memory.copy(vcpu.io, backwards, !io.in());
	// The elements before a fault go first; the instruction then starts again at the one that faults.
	if (!count && memory.outcome() == StringMemory::Outcome::kFault) {
		VREGCACHE_TRY(memory.raise(vmcs));
		return Next::kResume;
	}
	if (!count)
		return give_up_string_io(vcpu, memory.guest_physical());
	vcpu.io.count = count;
	ask_userspace(vcpu, io.port());
	return Next::kUserspace;
}

VRC_TRACEABLE Result<Next> handle_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	IoQualification io{VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs))};
	vcpu.io = {};
	vcpu.io.in = io.in();
	vcpu.io.string = io.string();
	vcpu.io.repeat = io.repeat();
	vcpu.io.size = io.size();
	vcpu.io.count = 1;
	vcpu.io.rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
	vcpu.io.qualification = io.word;
	if (io.string())
		return handle_string_io(vcpu, vmcs, io);
	if (!io.in())
		__builtin_memcpy(vcpu.io_data, &vcpu.gpr()[Gpr::kRax], io.size());
	ask_userspace(vcpu, io.port());
	return Next::kUserspace;
}

// @count elements of @io are done.  True: the instruction has more to do.
inline bool advance_string_io(Vcpu& vcpu, const PortIo& io, u32 count, bool backwards)
{
	u64 bytes = u64{count} * io.size;
	Gpr pointer = io.in ? Gpr::kRdi : Gpr::kRsi;
	vcpu.gpr()[pointer] = advance(vcpu.gpr()[pointer], io.address_mask, backwards ? -bytes : bytes);
	if (!io.repeat)
		return count == 0;
	// Userspace may have changed RCX in between; it never goes below zero.
	u64 left = vcpu.gpr()[Gpr::kRcx] & io.address_mask;
	u64 done = count < left ? count : left;
	vcpu.gpr()[Gpr::kRcx] = advance(vcpu.gpr()[Gpr::kRcx], io.address_mask, -done);
	return left > done;
}

VREGCACHE_OUT_OF_LINE Result<Next> complete_string_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	const PortIo io = vcpu.io;
	bool backwards = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kDf;
	if (io.in) {
		bool user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3;
		StringSegment segment = VREGCACHE_TRY(StringSegment::begin(vcpu, vmcs, io));
		PageWalk walk = VREGCACHE_TRY(PageWalk::begin(vcpu, vmcs));
		StringMemory memory(vcpu, segment, walk, {.write = true, .user = user});
		u32 count;
		{
			MemoryGuard guard(vcpu.vm->host);
			count = memory.copy(io, backwards, true);
		}
		// Another vCPU or userspace may have taken the memory away since it was looked at.  What went before counts.
		if (memory.outcome() != StringMemory::Outcome::kDone) {
			advance_string_io(vcpu, io, count, backwards);
			if (memory.outcome() == StringMemory::Outcome::kFault) {
				VREGCACHE_TRY(memory.raise(vmcs));
				return Next::kResume;
			}
			// The port has been read, so the data stay for another attempt, should userspace provide the memory.
			u64 bytes = u64{count} * io.size;
			vcpu.io.active = true;
			vcpu.io.count -= count;
			vcpu.io.data_offset += static_cast<u32>(bytes);
			vcpu.io.linear += backwards ? -bytes : bytes;
			vcpu.io.offset += backwards ? -bytes : bytes;
			return give_up_string_io(vcpu, memory.guest_physical());
		}
	}
	if (!advance_string_io(vcpu, io, io.count, backwards))
		VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

// Userspace has come back from a port I/O exit.  kResume: the guest can go on.
inline Result<Next> complete_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (!vcpu.io.active)
		return Next::kResume;
	vcpu.io.active = false;
	// Userspace has sent the vCPU elsewhere: the instruction is not to be completed.
	if (VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs)) != vcpu.io.rip)
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
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

}  // namespace
