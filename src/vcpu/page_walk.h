// SPDX-License-Identifier: GPL-2.0
// Translates linear to guest-physical addresses as the guest's own paging would (SDM Vol. 3A, chapter 4).
// Only instructions that the module emulates need it: INS and OUTS.
#pragma once

#include "vcpu/vcpu.h"

namespace {

struct MemoryAccess {
	bool write = false;
	bool user = false;
};

struct Translation {
	// kNoMemory: a paging structure is not in guest memory.
	enum class Outcome : u8 { kDone, kPageFault, kNoMemory };

	Outcome outcome = Outcome::kDone;
	u32 error_code = 0;      // of the page fault
	u64 guest_physical = 0;  // the translated address, or the one without memory
};

class PageWalk {
 public:
	// Refers to no memory until begin() has filled it.
	PageWalk() = default;

	// Reads the registers that control paging from the cache.
	static Result<PageWalk> begin(Vcpu& vcpu, const LoadedVmcs& vmcs);

	// Interrupts off.
	Translation translate(u64 linear, MemoryAccess access) const;

 private:
	static constexpr u64 kPagingBits = cr4::kPse | cr4::kPae | cr4::kLa57 | cr4::kSmap | cr4::kPke;
	static constexpr u64 kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
			     kDirty = 1u << 6, kLargePage = 1u << 7, kExecuteDisable = u64{1} << 63;
	static constexpr u64 kAddressMask = 0x000ffffffffff000;
	static constexpr u32 kFaultProtectionKey = 1u << 5;  // of the error code

	PageWalk(GuestMemory& memory, u32 physical_bits) : memory_(&memory), physical_bits_(physical_bits) {}

	static Translation fault(MemoryAccess access, u32 error_code);

	// Reserved bits of a present entry (SDM Vol. 3A, 4.3, 4.4.2 and 4.5.4).
	template <class Entry>
	u64 reserved(u32 level, bool large) const;

	// @levels levels of tables with 2^@index_bits entries of type @Entry.
	template <class Entry>
	Translation walk(u64 linear, u64 table, u32 levels, u32 index_bits, MemoryAccess access) const;

	bool allowed(bool writable, bool user, MemoryAccess access) const;

	// Protection keys of user pages (SDM Vol. 3A, 4.6.2).
	bool key_allows(u64 entry, MemoryAccess access) const;

	GuestMemory* memory_ = nullptr;
	u32 physical_bits_ = 0;
	u64 cr0_ = 0;
	u64 cr3_ = 0;
	u64 cr4_ = 0;
	u64 efer_ = 0;
	vregcache::Pdptes pdptes_;
	u32 pkru_ = 0;
	bool ac_ = false;
};

}  // namespace
