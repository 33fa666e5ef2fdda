// SPDX-License-Identifier: GPL-2.0
// Translation of linear to guest-physical addresses by the guest's paging structures.
#include "vcpu/page_walk.h"
#include "vmx/capability.h"

namespace {

inline Result<PageWalk> PageWalk::begin(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	PageWalk walk(vcpu.vm->memory, vcpu.model.physical_bits);
	walk.cr0_ = VREGCACHE_TRY((host_owned_cr0<cr0::kPg | cr0::kWp>(vcpu, vmcs)));
	if (!(walk.cr0_ & cr0::kPg))
		return walk;
	walk.cr3_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs));
	walk.cr4_ = VREGCACHE_TRY(host_owned_cr4<kPagingBits>(vcpu, vmcs));
	walk.efer_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
	walk.ac_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kAc;
	walk.pkru_ = vcpu.entry_switch.pkru;
	if ((walk.cr4_ & cr4::kPae) && !(walk.efer_ & efer::kLma)) {
		// The CPU's registers: memory may have changed since (SDM Vol. 3A, 4.4.1).
		walk.pdptes_ = VREGCACHE_TRY(read_pdptes(vcpu.cache, vmcs));
	}
	return walk;
}

inline Translation PageWalk::fault(MemoryAccess access, u32 error_code)
{
	return {Translation::Outcome::kPageFault,
		error_code | (access.write ? page_fault::kWrite : 0) | (access.user ? page_fault::kUser : 0), 0};
}

// Bits @first to @last.
constexpr u64 bit_range(u32 first, u32 last)
{
	return first > last ? 0 : (~u64{0} >> (63 - last)) & (~u64{0} << first);
}

template <class Entry>
u64 PageWalk::reserved(u32 level, bool large) const
{
	const u32 width = physical_bits_;
	if constexpr (sizeof(Entry) == 4) {
		// Bits 20:13 of a 4 MiB page's entry are address bits 39:32, as far as they exist.
		return large ? bit_range(width >= 40 ? 21 : width - 19, 21) : 0;
	} else {
		const bool long_mode = efer_ & efer::kLma;
		u64 mask = bit_range(width, long_mode ? 51 : 62);
		if (!(efer_ & efer::kNxe))
			mask |= kExecuteDisable;
		if (level >= 4 || (level == 3 && !g_vmx.gigabyte_pages))
			return mask | kLargePage;
		return large ? mask | bit_range(13, 12 + 9 * (level - 1) - 1) : mask;
	}
}

inline bool PageWalk::allowed(bool writable, bool user, MemoryAccess access) const
{
	if (access.user)
		return user && (writable || !access.write);
	if (access.write && !writable && (cr0_ & cr0::kWp))
		return false;
	return !user || !(cr4_ & cr4::kSmap) || ac_;
}

inline bool PageWalk::key_allows(u64 entry, MemoryAccess access) const
{
	if (!(cr4_ & cr4::kPke) || !(efer_ & efer::kLma))
		return true;
	u32 rights = pkru_ >> 2 * (entry >> 59 & 15) & 3;
	constexpr u32 kAccessDisable = 1, kWriteDisable = 2;
	if (rights & kAccessDisable)
		return false;
	return !access.write || !(rights & kWriteDisable) || !(access.user || (cr0_ & cr0::kWp));
}

template <class Entry>
Translation PageWalk::walk(u64 linear, u64 table, u32 levels, u32 index_bits, MemoryAccess access) const
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
			return fault(access, page_fault::kPresent | page_fault::kReserved);
		writable = writable && (entry & kWritable);
		user = user && (entry & kUser);
		bool leaf = level == 1 || large;
		if (leaf) {
			if (!allowed(writable, user, access))
				return fault(access, page_fault::kPresent);
			if (user && !key_allows(entry, access))
				return fault(access, page_fault::kPresent | kFaultProtectionKey);
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

inline Translation PageWalk::translate(u64 linear, MemoryAccess access) const
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

}  // namespace
