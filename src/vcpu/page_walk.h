// SPDX-License-Identifier: GPL-2.0
// Translates linear to guest-physical addresses as the guest's own paging would (SDM Vol. 3A, chapter 4).
// Only instructions that the module emulates need it: INS and OUTS.
#pragma once

#include "vcpu/cpuid.h"

namespace {

struct Access {
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
	static Result<PageWalk> begin(Vcpu& vcpu, const LoadedVmcs& vmcs)
	{
		PageWalk walk(vcpu.vm->memory, vcpu.model.physical_bits);
		walk.cr0_ = VREGCACHE_TRY((host_owned_cr0<cr0::kPg | cr0::kWp>(vcpu, vmcs)));
		if (!(walk.cr0_ & cr0::kPg))
			return walk;
		walk.cr3_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs));
		walk.cr4_ = VREGCACHE_TRY(host_owned_cr4<kPagingBits>(vcpu, vmcs));
		walk.efer_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
		walk.ac_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kAc;
		walk.pkru_ = vcpu.entry.pkru;
		if ((walk.cr4_ & cr4::kPae) && !(walk.efer_ & efer::kLma)) {
			// The CPU's registers: memory may have changed since (SDM Vol. 3A, 4.4.1).
			walk.pdptes_ = VREGCACHE_TRY(read_pdptes(vcpu.cache, vmcs));
		}
		return walk;
	}

	// The memory lock is held.
	Translation translate(u64 linear, Access access) const
	{
		if (!(cr0_ & cr0::kPg))
			return {Translation::Outcome::kDone, 0, static_cast<u32>(linear)};
		if (efer_ & efer::kLma)
			return walk<u64>(linear, cr3_ & kAddressMask, cr4_ & cr4::kLa57 ? 5 : 4, 9, access);
		if (cr4_ & cr4::kPae) {
			u64 entry = pdptes_.entry[static_cast<u32>(linear) >> 30];
			if (!(entry & kPresent))
				return fault(access, 0);
			return walk<u64>(static_cast<u32>(linear), entry & kAddressMask, 2, 9, access);
		}
		return walk<u32>(static_cast<u32>(linear), cr3_ & 0xfffff000, 2, 10, access);
	}

 private:
	static constexpr u64 kPagingBits = cr4::kPse | cr4::kPae | cr4::kLa57 | cr4::kSmap | cr4::kPke;
	static constexpr u64 kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
			     kDirty = 1u << 6, kLargePage = 1u << 7, kExecuteDisable = u64{1} << 63;
	static constexpr u64 kAddressMask = 0x000ffffffffff000;
	static constexpr u32 kFaultPresent = 1u << 0, kFaultWrite = 1u << 1, kFaultUser = 1u << 2,
			     kFaultReserved = 1u << 3, kFaultKey = 1u << 5;

	PageWalk(GuestMemory& memory, u32 physical_bits) : memory_(&memory), physical_bits_(physical_bits) {}

	static Translation fault(Access access, u32 error_code)
	{
		return {Translation::Outcome::kPageFault,
			error_code | (access.write ? kFaultWrite : 0) | (access.user ? kFaultUser : 0), 0};
	}

	// Bits @first to @last.
	static constexpr u64 bits(u32 first, u32 last)
	{
		return first > last ? 0 : (~u64{0} >> (63 - last)) & (~u64{0} << first);
	}

	// Reserved bits of a present entry (SDM Vol. 3A, 4.3, 4.4.2 and 4.5.4).
	template <class Entry>
	u64 reserved(u32 level, bool large) const
	{
		const u32 width = physical_bits_;
		if constexpr (sizeof(Entry) == 4) {
			// Bits 20:13 of a 4 MiB page's entry are address bits 39:32, as far as they exist.
			return large ? bits(width >= 40 ? 21 : width - 19, 21) : 0;
		} else {
			const bool long_mode = efer_ & efer::kLma;
			u64 mask = bits(width, long_mode ? 51 : 62);
			if (!(efer_ & efer::kNxe))
				mask |= kExecuteDisable;
			if (level >= 4 || (level == 3 && !g_vmx.gigabyte_pages))
				return mask | kLargePage;
			return large ? mask | bits(13, 12 + 9 * (level - 1) - 1) : mask;
		}
	}

	// @levels levels of tables with 2^@index_bits entries of type @Entry.
	template <class Entry>
	Translation walk(u64 linear, u64 table, u32 levels, u32 index_bits, Access access) const
	{
		bool writable = true, user = true;
		for (u32 level = levels; level > 0; level--) {
			u32 shift = 12 + index_bits * (level - 1);
			u64 slot = linear >> shift & ((u64{1} << index_bits) - 1);
			u64 address = table + slot * sizeof(Entry);
			const u8* memory = memory_->at(address);
			if (!memory)
				return {Translation::Outcome::kNoMemory, 0, address};
			Entry entry = __atomic_load_n(reinterpret_cast<const Entry*>(memory), __ATOMIC_RELAXED);
			if (!(entry & kPresent))
				return fault(access, 0);
			bool may_be_large = sizeof(Entry) == 8 || (cr4_ & cr4::kPse);
			bool large = level > 1 && level < 4 && (entry & kLargePage) && may_be_large;
			if (entry & reserved<Entry>(level, large))
				return fault(access, kFaultPresent | kFaultReserved);
			writable = writable && (entry & kWritable);
			user = user && (entry & kUser);
			bool leaf = level == 1 || large;
			if (leaf) {
				if (!allowed(writable, user, access))
					return fault(access, kFaultPresent);
				if (user && !key_allows(entry, access))
					return fault(access, kFaultPresent | kFaultKey);
			}
			Entry marks = static_cast<Entry>(kAccessed | (leaf && access.write ? kDirty : 0));
			if ((entry & marks) != marks) {
				u8* to_mark = memory_->at(address);
				if (!to_mark)
					return {Translation::Outcome::kNoMemory, 0, address};
				__atomic_fetch_or(reinterpret_cast<Entry*>(to_mark), marks, __ATOMIC_RELAXED);
			}
			u64 frame = sizeof(Entry) == 8 ? entry & kAddressMask : entry & 0xfffff000;
			if (leaf) {
				u64 offset = (u64{1} << shift) - 1;
				// A 4 MiB page has address bits 39:32 in bits 20:13 of its entry (PSE-36).
				if (large && sizeof(Entry) == 4)
					frame = (entry & 0xffc00000) | (u64{entry >> 13 & 0xff} << 32);
				return {Translation::Outcome::kDone, 0, (frame & ~offset) | (linear & offset)};
			}
			table = frame;
		}
		return fault(access, 0);
	}

	bool allowed(bool writable, bool user, Access access) const
	{
		if (access.user)
			return user && (writable || !access.write);
		if (access.write && !writable && (cr0_ & cr0::kWp))
			return false;
		return !user || !(cr4_ & cr4::kSmap) || ac_;
	}

	// Protection keys of user pages (SDM Vol. 3A, 4.6.2).
	bool key_allows(u64 entry, Access access) const
	{
		if (!(cr4_ & cr4::kPke) || !(efer_ & efer::kLma))
			return true;
		u32 rights = pkru_ >> 2 * (entry >> 59 & 15) & 3;
		constexpr u32 kAccessDisable = 1, kWriteDisable = 2;
		if (rights & kAccessDisable)
			return false;
		return !access.write || !(rights & kWriteDisable) || !(access.user || (cr0_ & cr0::kWp));
	}

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
