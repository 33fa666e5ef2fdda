// SPDX-License-Identifier: GPL-2.0
// The memory of INS and OUTS: checks by segmentation and paging, and the copy.
#pragma once

#include "vcpu/exception.h"
#include "vcpu/page_walk.h"

namespace {

// Segmentation checks of a string instruction's memory.
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

	// The fault if allows() is false.
	Event fault() const { return Event::exception(stack_ ? vector::kStackFault : vector::kGeneralProtection, 0); }

 private:
	bool flat64_ = false;
	bool typed_ = false;  // protected mode: types and null selectors are checked
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

	// From the current guest registers.
	static Result<StringMemory> begin(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io)
	{
		StringMemory memory;
		memory.vcpu_ = &vcpu;
		memory.access_ = {.write = io.in, .user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3};
		memory.segment_ = VREGCACHE_TRY(StringSegment::begin(vcpu, vmcs, io));
		memory.walk_ = VREGCACHE_TRY(PageWalk::begin(vcpu, vmcs));
		u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
		memory.checks_alignment_ = memory.access_.user && (flags & rflags::kAc) &&
					   VREGCACHE_TRY(host_owned_cr0<cr0::kAm>(vcpu, vmcs));
		return memory;
	}

	// Copies the elements of @io to or from the data page; returns how many were copied.  Without @transfer it only
	// checks whether they could be.  The memory lock is held.
	u32 copy(const PortIo& io, bool backwards, bool transfer)
	{
		u8* data = transfer ? vcpu_->io_data + io.data_offset : nullptr;
		for (u32 i = 0; i < io.count; i++) {
			u64 distance = u64{i} * io.size;
			u64 step = backwards ? -distance : distance;
			outcome_ = copy_element(io.offset + step, io.linear + step, data ? data + distance : nullptr,
						io.size);
			if (outcome_ != Outcome::kDone)
				return i;
		}
		return io.count;
	}

	// Why copy() stopped.
	Outcome outcome() const { return outcome_; }
	// Where memory is missing.
	u64 guest_physical() const { return guest_physical_; }

	// Raises the fault that copy() stopped at.
	Result<void> raise(const LoadedVmcs& vmcs) const
	{
		if (fault_.information.vector() == vector::kPageFault)
			vcpu_->entry.cr2 = fault_address_;
		return raise_fault(*vcpu_, vmcs, fault_);
	}

 private:
	friend class vregcache::Result<StringMemory>;
	StringMemory() = default;

	// The part of an element in one page.
	struct Piece {
		u8* memory = nullptr;
		u32 bytes = 0;
	};

	// An element is copied only if all of it can be.
	Outcome copy_element(u64 offset, u64 linear, u8* data, u32 bytes)
	{
		if (!segment_.allows(offset, linear, bytes))
			return fault(segment_.fault());
		if (checks_alignment_ && (linear & (bytes - 1)))
			return fault(Event::exception(vector::kAlignmentCheck, 0));
		Piece pieces[2];
		u32 count = 0;
		for (u32 found = 0; found < bytes; found += pieces[count++].bytes) {
			Outcome outcome = find(linear + found, bytes - found, pieces[count]);
			if (outcome != Outcome::kDone)
				return outcome;
		}
		for (u32 i = 0; data && i < count; data += pieces[i++].bytes) {
			if (access_.write)
				__builtin_memcpy(pieces[i].memory, data, pieces[i].bytes);
			else
				__builtin_memcpy(data, pieces[i].memory, pieces[i].bytes);
		}
		return Outcome::kDone;
	}

	Outcome find(u64 address, u32 bytes, Piece& piece)
	{
		if (!segment_.flat64())
			address = static_cast<u32>(address);
		Translation translation = walk_.translate(address, access_);
		if (translation.outcome == Translation::Outcome::kPageFault) {
			fault_address_ = address;
			return fault(Event::exception(vector::kPageFault, translation.error_code));
		}
		guest_physical_ = translation.guest_physical;
		if (translation.outcome == Translation::Outcome::kDone)
			piece.memory = vcpu_->vm->memory.at(guest_physical_);
		if (!piece.memory)
			return Outcome::kNoMemory;
		const u32 in_page = static_cast<u32>(kPageSize - (address & ~kPageMask));
		piece.bytes = bytes < in_page ? bytes : in_page;
		return Outcome::kDone;
	}

	Outcome fault(Event event)
	{
		fault_ = event;
		return Outcome::kFault;
	}

	Vcpu* vcpu_ = nullptr;
	StringSegment segment_;
	PageWalk walk_;
	Access access_;
	bool checks_alignment_ = false;  // CR0.AM, RFLAGS.AC and privilege level 3
	Outcome outcome_ = Outcome::kDone;
	Event fault_;
	u64 fault_address_ = 0;
	u64 guest_physical_ = 0;
};

}  // namespace
