// SPDX-License-Identifier: GPL-2.0
// Memory of root software or of the guest by linear address: paging walked in software.  SDM Vol. 3A, chapter 4.
#ifndef VMX_ON_SVM_GUEST_MEMORY_H
#define VMX_ON_SVM_GUEST_MEMORY_H

#include "nested_paging.h"

namespace {

// What the monitor does with memory for the running code.  To look at what the CPU has reached before leaves no traces.
enum class Use : u8 { Look, Read, Write };

// Physical as the running code sees it: guest-physical with EPT, else host-physical.
inline bool to_host_physical(Cpu& cpu, u64 physical, u64& host_physical, Use use = Use::Look)
{
	if (!cpu.in_guest || !cpu.ept()) {
		host_physical = physical;
		return true;
	}
	GuestPhysicalMapping& mapping = cpu.mapping(physical);
	const bool sets_flags = use != Use::Look && ept_flags_enabled(cpu);
	if (sets_flags || mapping.guest_page != (physical & kPageMask)) {
		const EptTranslation translation = ept_translate(cpu, physical);
		if (translation.outcome != EptTranslation::Mapped)
			return false;
		if (sets_flags)
			set_ept_flags(translation, use == Use::Write);
		mapping = {physical & kPageMask, translation.address & kPageMask};
	}
	host_physical = mapping.host_page | (physical & ~kPageMask);
	return true;
}

struct LinearTranslation {
	bool mapped = false;
	bool writable = true;
	bool user = true;
	u64 physical = 0;  // as the running code sees it; of the paging-structure entry if EPT does not map that
	u64 host_physical = 0;
	bool ends_in_tables = false;  // EPT does not map a paging-structure entry
	unsigned tables = 0;          // paging-structure entries that were used
	u64 table_entry[5] = {};      // where they are as the running code sees it

	bool uses(u64 entry_address) const
	{
		for (unsigned i = 0; i < tables; ++i) {
			if (table_entry[i] == entry_address)
				return true;
		}
		return false;
	}
};

// Does not check rights.  Sets the bits `mark` (accessed, dirty) in the last entry, and accessed in those above it.
inline LinearTranslation translate(Cpu& cpu, u64 linear, u64 mark = 0)
{
	const Vmcb& vmcb = cpu.vmcb();
	const Use use = !mark ? Use::Look : mark & kPageDirty ? Use::Write : Use::Read;
	// SDM Vol. 3C, section 29.3.5: an access to a paging-structure entry is a write.
	const Use table_use = mark ? Use::Write : Use::Look;
	LinearTranslation result;

	if (!(vmcb.cr0 & kCr0Paging)) {
		result.physical = linear;
		result.mapped = to_host_physical(cpu, linear, result.host_physical, use);
		return result;
	}
	const bool wide = vmcb.cr4 & kCr4PhysicalAddressExtension;
	unsigned level = 2;
	u64 table = vmcb.cr3 & 0xfffff000;
	if (cpu.long_mode()) {
		level = vmcb.cr4 & kCr4La57 ? 5 : 4;
		table = vmcb.cr3 & kEntryAddress;
	} else if (wide) {
		level = 3;
		table = vmcb.cr3 & 0xffffffe0;
	}
	const unsigned index_bits = wide ? 9 : 10;
	const unsigned entry_bytes = wide ? 8 : 4;
	for (; level; --level) {
		const unsigned shift = 12 + index_bits * (level - 1);
		const u64 index = linear >> shift & (bit(index_bits) - 1);
		u64 host_physical;
		if (cpu.in_guest && cpu.pdpte_window && level == 3) {
			const u64 pdpte = cpu.pdpte[index & 3];
			if (!(pdpte & kPagePresent))
				return result;
			table = pdpte & kEntryAddress;
			continue;
		}
		result.table_entry[result.tables++] = table + index * entry_bytes;
		if (!to_host_physical(cpu, table + index * entry_bytes, host_physical, table_use)) {
			result.physical = table + index * entry_bytes;
			result.ends_in_tables = true;
			return result;
		}
		void* const pointer = cpu.memory(host_physical);
		const u64 entry = wide ? *static_cast<u64*>(pointer) : *static_cast<u32*>(pointer);
		if (!(entry & kPagePresent))
			return result;
		const bool pdpte = wide && level == 3 && !cpu.long_mode();
		const bool leaf = level == 1 || (!pdpte && (entry & kPageLarge) && level <= (wide ? 3 : 2));
		if (mark && !pdpte) {
			const u64 wanted = leaf ? mark : kPageAccessed;
			if ((entry & wanted) != wanted)
				__atomic_or_fetch(static_cast<u32*>(pointer), static_cast<u32>(wanted),
						  __ATOMIC_RELAXED);
		}
		if (!pdpte) {
			result.writable &= !!(entry & kPageWritable);
			result.user &= !!(entry & kPageUser);
		}
		const u64 address = wide ? entry & kEntryAddress : entry & 0xfffff000;
		if (leaf) {
			const u64 offset_mask = bit(shift) - 1;
			result.physical = (address & ~offset_mask) | (linear & offset_mask);
			if (!wide && level == 2)
				result.physical |= (entry >> 13 & 0xff) << 32;  // PSE-36
			result.mapped = to_host_physical(cpu, result.physical, result.host_physical, use);
			return result;
		}
		table = address;
	}
	return result;
}

// The same for code of root software in long mode, which most instructions that exit are, and in little time.
inline bool translate_root_code(Cpu& cpu, u64 linear, u64& host_physical)
{
	u64 table = cpu.root_vmcb.cr3 & kEntryAddress;

	for (unsigned shift = cpu.root_vmcb.cr4 & kCr4La57 ? 48 : 39;; shift -= 9) {
		const u64 slot = table + (linear >> shift & 511) * 8;
		if (!Cpu::is_visible(slot))
			return false;
		const u64 entry = *at<u64>(slot);
		if (!(entry & kPagePresent))
			return false;
		if (shift == 12 || (shift <= 30 && (entry & kPageLarge))) {
			const u64 offset_mask = bit(shift) - 1;
			host_physical = (entry & kEntryAddress & ~offset_mask) | (linear & offset_mask);
			return true;
		}
		table = entry & kEntryAddress;
	}
}

inline bool translate_code(Cpu& cpu, u64 linear, u64& host_physical)
{
	if (!cpu.in_guest && cpu.long_mode())
		return translate_root_code(cpu, linear, host_physical);
	const LinearTranslation translation = translate(cpu, linear);
	host_physical = translation.host_physical;
	return translation.mapped;
}

// Reads code or data that the CPU itself has just reached; false if it is not mapped any more.
inline bool peek(Cpu& cpu, u64 linear, void* buffer, unsigned count)
{
	u8* to = static_cast<u8*>(buffer);
	while (count) {
		u64 host_physical;
		if (!translate_code(cpu, linear, host_physical))
			return false;
		const u64 rest = kPageBytes - (linear & ~kPageMask);
		const unsigned part = count < rest ? count : rest;
		copy_bytes(to, cpu.memory(host_physical), part);
		to += part;
		linear += part;
		count -= part;
	}
	return true;
}

constexpr u64 kPageFaultPresent = bit(0);
constexpr u64 kPageFaultWrite = bit(1);
constexpr u64 kPageFaultUser = bit(2);

// A data access by the code that runs, with the checks of the CPU.  On failure the page fault to raise is told.
struct DataFault {
	u64 address;
	u32 error;
};

enum class DataAccess : u8 { Read, Write };

inline bool access_data(Cpu& cpu, u64 linear, void* buffer, unsigned count, DataAccess access, DataFault& fault)
{
	const Vmcb& vmcb = cpu.vmcb();
	const bool writing = access == DataAccess::Write;
	const bool by_user = cpu.privilege_level() == 3;
	const bool smap = (vmcb.cr4 & kCr4Smap) && !(vmcb.rflags & kFlagAlignment);
	struct {
		u64 host_physical;
		unsigned count;
	} part[2] = {};
	unsigned parts = 0;

	// Nothing is written before every page has been checked.
	for (unsigned done = 0; done < count; ++parts) {
		const u64 address = linear + done;
		const LinearTranslation page = translate(cpu, address);
		bool allowed = page.mapped;
		if (vmcb.cr0 & kCr0Paging) {
			if (by_user)
				allowed &= page.user && (!writing || page.writable);
			else
				allowed &= !(page.user && smap) &&
					   (!writing || page.writable || !(vmcb.cr0 & kCr0WriteProtect));
		}
		if (!allowed) {
			fault.address = address;
			fault.error = (page.mapped ? kPageFaultPresent : 0) | (writing ? kPageFaultWrite : 0) |
				      (by_user ? kPageFaultUser : 0);
			return false;
		}
		const u64 rest = kPageBytes - (address & ~kPageMask);
		part[parts].host_physical = page.host_physical;
		part[parts].count = count - done < rest ? count - done : rest;
		done += part[parts].count;
	}
	u8* bytes = static_cast<u8*>(buffer);
	for (unsigned i = 0; i < parts; ++i) {
		void* const memory = cpu.memory(part[i].host_physical);
		if (writing)
			copy_bytes(memory, bytes, part[i].count);
		else
			copy_bytes(bytes, memory, part[i].count);
		translate(cpu, linear, kPageAccessed | (writing ? kPageDirty : 0));
		bytes += part[i].count;
		linear += part[i].count;
	}
	return true;
}

}  // namespace

#endif
