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

// Guest memory of a string instruction, element by element.
class StringMemory {
 public:
	StringMemory(Vcpu& vcpu, const PageWalk& walk, Access access, bool flat64)
		: vcpu_(vcpu), walk_(walk), access_(access), flat64_(flat64)
	{
	}

	enum class Outcome : u8 { kDone, kPageFault, kNoMemory };

	// Copies between @data and guest memory at @linear; nullptr for @data only looks whether it could.
	Outcome copy(u64 linear, u8* data, u32 bytes)
	{
		for (u32 done = 0; done < bytes;) {
			u64 address = linear + done;
			if (!flat64_)
				address = static_cast<u32>(address);
			Translation translation = walk_.translate(address, access_);
			if (translation.fault) {
				fault_address_ = address;
				fault_code_ = translation.error_code;
				return Outcome::kPageFault;
			}
			u8* memory = vcpu_.vm->memory.at(translation.guest_physical, access_.write);
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

	Event page_fault(Vcpu& vcpu) const
	{
		vcpu.entry.cr2 = fault_address_;
		return Event::exception(vector::kPageFault, fault_code_);
	}

 private:
	Vcpu& vcpu_;
	const PageWalk& walk_;
	Access access_;
	bool flat64_;
	u64 fault_address_ = 0;
	u32 fault_code_ = 0;
};

// Goes through @count elements from io.linear on; returns how many went, and why it stopped.
inline u32 copy_elements(Vcpu& vcpu, StringMemory& memory, u32 count, bool backwards, u8* data,
			 StringMemory::Outcome& outcome)
{
	for (u32 i = 0; i < count; i++) {
		u64 distance = u64{i} * vcpu.io.size;
		u64 linear = backwards ? vcpu.io.linear - distance : vcpu.io.linear + distance;
		outcome = memory.copy(linear, data ? data + distance : nullptr, vcpu.io.size);
		if (outcome != StringMemory::Outcome::kDone)
			return i;
	}
	return count;
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
	vcpu.io.linear = VREGCACHE_TRY(vcpu.cache.read<Reg::kGuestLinearAddress>(vmcs));
	bool backwards = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kDf;
	bool flat64 = VREGCACHE_TRY(in_64bit_mode(vcpu, vmcs));
	bool user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3;
	PageWalk walk = VREGCACHE_TRY(PageWalk::begin(vcpu, vmcs));

	u32 batch = kIoDataBytes / io.size();
	if (remaining < batch)
		batch = static_cast<u32>(remaining);
	// The index register wraps at its address size, which the linear address does not.
	u64 offset = vcpu.gpr()[io.in() ? Gpr::kRdi : Gpr::kRsi] & vcpu.io.address_mask;
	u64 room = backwards ? offset / io.size() + 1 : (vcpu.io.address_mask - offset) / io.size() + 1;
	if (room < batch)
		batch = static_cast<u32>(room);
	MemoryGuard guard(vcpu.vm->host);
	StringMemory memory(vcpu, walk, {.write = io.in(), .user = user}, flat64);
	StringMemory::Outcome outcome;
	u32 count = copy_elements(vcpu, memory, batch, backwards, io.in() ? nullptr : vcpu.io_data, outcome);
	// The elements before a fault go first; the instruction then starts again at the one that faults.
	if (!count && outcome == StringMemory::Outcome::kPageFault) {
		VREGCACHE_TRY(raise_fault(vcpu, vmcs, memory.page_fault(vcpu)));
		return Next::kResume;
	}
	if (!count)
		return give_up(vcpu, vmcs, ExitReason::kIo);
	vcpu.io.count = count;
	ask_userspace(vcpu, io.port());
	return Next::kUserspace;
}

inline Result<Next> handle_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	IoQualification io{VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs))};
	vcpu.io = {};
	vcpu.io.in = io.in();
	vcpu.io.string = io.string();
	vcpu.io.repeat = io.repeat();
	vcpu.io.size = io.size();
	vcpu.io.count = 1;
	vcpu.io.rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
	if (io.string())
		return handle_string_io(vcpu, vmcs, io);
	if (!io.in())
		__builtin_memcpy(vcpu.io_data, &vcpu.gpr()[Gpr::kRax], io.size());
	ask_userspace(vcpu, io.port());
	return Next::kUserspace;
}

inline Result<void> complete_string_io(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io)
{
	bool backwards = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kDf;
	if (io.in) {
		bool flat64 = VREGCACHE_TRY(in_64bit_mode(vcpu, vmcs));
		bool user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3;
		PageWalk walk = VREGCACHE_TRY(PageWalk::begin(vcpu, vmcs));
		MemoryGuard guard(vcpu.vm->host);
		StringMemory memory(vcpu, walk, {.write = true, .user = user}, flat64);
		StringMemory::Outcome outcome = StringMemory::Outcome::kDone;
		copy_elements(vcpu, memory, io.count, backwards, vcpu.io_data, outcome);
		// Another vCPU or userspace may have taken the memory away since it was looked at.
		if (outcome == StringMemory::Outcome::kPageFault)
			return raise_fault(vcpu, vmcs, memory.page_fault(vcpu));
	}
	u64 bytes = u64{io.count} * io.size;
	Gpr pointer = io.in ? Gpr::kRdi : Gpr::kRsi;
	vcpu.gpr()[pointer] = advance(vcpu.gpr()[pointer], io.address_mask, backwards ? -bytes : bytes);
	if (io.repeat) {
		// Userspace may have changed RCX in between; it never goes below zero.
		u64 left = vcpu.gpr()[Gpr::kRcx] & io.address_mask;
		u64 done = io.count < left ? io.count : left;
		vcpu.gpr()[Gpr::kRcx] = advance(vcpu.gpr()[Gpr::kRcx], io.address_mask, -done);
		if (left > done)
			return {};
	}
	return skip_instruction(vcpu, vmcs);
}

// Userspace has come back from a port I/O exit.
inline Result<void> complete_io(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (!vcpu.io.active)
		return {};
	const PortIo io = vcpu.io;
	vcpu.io.active = false;
	// Userspace has sent the vCPU elsewhere: the instruction is not to be completed.
	if (VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs)) != io.rip)
		return {};
	if (io.string)
		return complete_string_io(vcpu, vmcs, io);
	if (io.in) {
		u64 value = 0;
		__builtin_memcpy(&value, vcpu.io_data, io.size);
		// A 32-bit destination clears the upper half; smaller ones leave the rest alone.
		u64 kept = io.size == 4 ? 0 : vcpu.gpr()[Gpr::kRax] & ~((u64{1} << 8 * io.size) - 1);
		vcpu.gpr()[Gpr::kRax] = kept | value;
	}
	return skip_instruction(vcpu, vmcs);
}

}  // namespace
