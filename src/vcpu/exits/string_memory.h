// SPDX-License-Identifier: GPL-2.0
// The memory of INS and OUTS: checks by segmentation and paging, and the copy.
#pragma once

#include "vcpu/exception.h"
#include "vcpu/page_walk.h"

namespace {

// Segmentation checks of a string instruction's memory.
class StringSegment {
 public:
	static Result<StringSegment> begin(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io);

	bool flat64() const { return flat64_; }

	// May the element at @offset, which is at @linear, be accessed?  (SDM Vol. 3A, 5.3 to 5.5)
	bool allows(u64 offset, u64 linear, u32 bytes) const;

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
	static Result<StringMemory> begin(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io);

	// Copies the elements of @io to or from the data page; returns how many were copied.  Without @transfer it only
	// checks whether they could be.  Interrupts off.
	u32 copy(const PortIo& io, bool backwards, bool transfer);

	// Why copy() stopped.
	Outcome outcome() const { return outcome_; }
	// Where memory is missing.
	u64 guest_physical() const { return guest_physical_; }

	// Raises the fault that copy() stopped at.
	Result<void> raise(const LoadedVmcs& vmcs) const;

 private:
	friend class vregcache::Result<StringMemory>;
	StringMemory() = default;

	// The part of an element in one page.
	struct Piece {
		u8* memory = nullptr;
		u32 bytes = 0;
	};

	// An element is copied only if all of it can be.
	Outcome copy_element(u64 offset, u64 linear, u8* data, u32 bytes);
	Outcome find(u64 address, u32 bytes, Piece& piece);
	Outcome fault(Event event);

	Vcpu* vcpu_ = nullptr;
	StringSegment segment_;
	PageWalk walk_;
	MemoryAccess access_;
	bool checks_alignment_ = false;  // CR0.AM, RFLAGS.AC and privilege level 3
	Outcome outcome_ = Outcome::kDone;
	Event fault_;
	u64 fault_address_ = 0;
	u64 guest_physical_ = 0;
};

}  // namespace
