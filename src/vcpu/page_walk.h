// SPDX-License-Identifier: GPL-2.0
// Linear to guest-physical addresses, as the guest's own paging would translate them (SDM Vol. 3A, chapter 4).
// Only instructions that the module carries out for the guest need it: INS and OUTS.
#pragma once

#include "vcpu.h"

namespace {

struct Access {
	bool write = false;
	bool user = false;
};

struct Translation {
	bool fault = false;
	u32 error_code = 0;  // of the page fault
	u64 guest_physical = 0;
};

class PageWalk {
 public:
	// The registers that decide about paging, from the cache.
	static Result<PageWalk> begin(Vcpu& vcpu, const LoadedVmcs& vmcs)
	{
		PageWalk walk(vcpu.vm->memory);
		walk.cr0_ = VREGCACHE_TRY(guest_cr0(vcpu, vmcs));
		if (!(walk.cr0_ & cr0::kPg))
			return walk;
		walk.cr3_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs));
		walk.cr4_ = VREGCACHE_TRY(guest_cr4(vcpu, vmcs));
		walk.efer_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
		walk.ac_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kAc;
		return walk;
	}

	// The memory lock is held.
	Translation translate(u64 linear, Access access) const
	{
		if (!(cr0_ & cr0::kPg))
			return {false, 0, static_cast<u32>(linear)};
		if (efer_ & efer::kLma)
			return walk<u64>(linear, cr3_ & kAddressMask, 4, 9, access);
		if (cr4_ & cr4::kPae)
			return walk_pae(static_cast<u32>(linear), access);
		return walk<u32>(static_cast<u32>(linear), cr3_ & 0xfffff000, 2, 10, access);
	}

 private:
	static constexpr u64 kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5, kDirty = 1u << 6,
			     kLargePage = 1u << 7;
	static constexpr u64 kAddressMask = 0x000ffffffffff000;
	static constexpr u32 kFaultPresent = 1u << 0, kFaultWrite = 1u << 1, kFaultUser = 1u << 2;

	explicit PageWalk(GuestMemory& memory) : memory_(&memory) {}
	friend class vregcache::Result<PageWalk>;
	PageWalk() {}

	static Translation fault(Access access, bool present)
	{
		return {true, (present ? kFaultPresent : 0) | (access.write ? kFaultWrite : 0) | (access.user ? kFaultUser : 0),
			0};
	}

	Translation walk_pae(u32 linear, Access access) const
	{
		u64 entry;
		const u8* memory = memory_->at((cr3_ & 0xffffffe0) + 8 * (linear >> 30), false);
		if (!memory)
			return fault(access, false);
		__builtin_memcpy(&entry, memory, sizeof(entry));
		if (!(entry & kPresent))
			return fault(access, false);
		return walk<u64>(linear, entry & kAddressMask, 2, 9, access);
	}

	// Tables of @Entry with 2^@index_bits entries, @levels of them.
	template <class Entry>
	Translation walk(u64 linear, u64 table, u32 levels, u32 index_bits, Access access) const
	{
		bool writable = true, user = true;
		for (u32 level = levels; level > 0; level--) {
			u32 shift = 12 + index_bits * (level - 1);
			u64 slot = linear >> shift & ((u64{1} << index_bits) - 1);
			u8* memory = memory_->at(table + slot * sizeof(Entry), true);
			if (!memory)
				return fault(access, false);
			Entry entry;
			__builtin_memcpy(&entry, memory, sizeof(entry));
			if (!(entry & kPresent))
				return fault(access, false);
			writable = writable && (entry & kWritable);
			user = user && (entry & kUser);
			bool large = level > 1 && (entry & kLargePage) && (sizeof(Entry) == 8 || (cr4_ & cr4::kPse));
			bool leaf = level == 1 || large;
			if (leaf && !allowed(writable, user, access))
				return fault(access, true);
			__atomic_fetch_or(reinterpret_cast<Entry*>(memory),
					  static_cast<Entry>(kAccessed | (leaf && access.write ? kDirty : 0)), __ATOMIC_RELAXED);
			u64 frame = sizeof(Entry) == 8 ? entry & kAddressMask : entry & 0xfffff000;
			if (leaf) {
				u64 offset = (u64{1} << shift) - 1;
				// A 4 MiB page has address bits 39:32 in bits 20:13 of its entry (PSE-36).
				if (large && sizeof(Entry) == 4)
					frame = (entry & 0xffc00000) | (u64{entry >> 13 & 0xff} << 32);
				return {false, 0, (frame & ~offset) | (linear & offset)};
			}
			table = frame;
		}
		return fault(access, false);
	}

	bool allowed(bool writable, bool user, Access access) const
	{
		if (access.user)
			return user && (writable || !access.write);
		if (access.write && !writable && (cr0_ & cr0::kWp))
			return false;
		return !user || !(cr4_ & cr4::kSmap) || ac_;
	}

	GuestMemory* memory_ = nullptr;
	u64 cr0_ = 0;
	u64 cr3_ = 0;
	u64 cr4_ = 0;
	u64 efer_ = 0;
	bool ac_ = false;
};

}  // namespace
