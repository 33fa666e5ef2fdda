// SPDX-License-Identifier: GPL-2.0
// EPT, walked in software, and the nested page tables that nested page faults fill from it.
#ifndef VMX_ON_SVM_NESTED_PAGING_H
#define VMX_ON_SVM_NESTED_PAGING_H

#include "root_paging.h"

namespace {

// EPT entries.  SDM Vol. 3C, section 29.3.2.
constexpr u64 kEptRead = bit(0);
constexpr u64 kEptWrite = bit(1);
constexpr u64 kEptExecute = bit(2);
constexpr u64 kEptRights = kEptRead | kEptWrite | kEptExecute;
constexpr u64 kEptLargePage = bit(7);
constexpr u64 kEptAccessed = bit(8);
constexpr u64 kEptDirty = bit(9);
constexpr u64 kEptPointerFlags = bit(6);  // accessed and dirty flags are enabled
constexpr u64 kEntryAddress = bits(12, 51);

constexpr bool valid_ept_pointer(const CpuFacts& facts, u64 pointer)
{
	const u64 memory_type = pointer & 7;
	return (memory_type == kMemoryTypeUncacheable || memory_type == kMemoryTypeWriteBack) &&
	       (pointer >> 3 & 7) == 3 &&  // a walk of 4 levels
	       !(pointer & bits(7, 11)) && facts.valid_physical(pointer);
}

struct EptTranslation {
	enum { Mapped, Violation, Misconfiguration } outcome;
	u64 rights;   // on a violation, those that a translation has; 0 where an entry is not present
	u64 address;  // host-physical
	u64 page_bytes;
	bool own = false;  // a page of the monitor's, for this guest
	// The entries that were used, if it is mapped.  The last one maps the page.
	unsigned entries = 0;
	u64* entry[4] = {};
};

inline bool ept_flags_enabled(Cpu& cpu) { return cpu.read(Field::EptPointer) & kEptPointerFlags; }

constexpr bool valid_leaf_memory_type(u64 entry)
{
	const u64 type = entry >> 3 & 7;
	return type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
}

inline EptTranslation ept_translate(Cpu& cpu, u64 guest_physical)
{
	u64 table = cpu.read(Field::EptPointer) & kEntryAddress;
	u64 rights = kEptRights;
	EptTranslation result = {EptTranslation::Mapped, 0, 0, 0};
	const u64 beyond_width = bits(cpu.facts.physical_width, 51);

	if (guest_physical >> 48)
		return {EptTranslation::Violation, 0, 0, 0};
	for (unsigned level = 4; level; --level) {
		const unsigned shift = 12 + 9 * (level - 1);
		const u64 page_bytes = bit(shift);
		u64* const pointer = static_cast<u64*>(cpu.memory(table + (guest_physical >> shift & 511) * 8));
		const u64 entry = *pointer;
		const u64 own_rights = entry & kEptRights;
		const bool leaf = level == 1 || (level < 4 && (entry & kEptLargePage));

		if (!own_rights)
			return {EptTranslation::Violation, 0, 0, 0};
		// SDM Vol. 3C, section 29.3.3.1.
		if (!(own_rights & kEptRead))
			return {EptTranslation::Misconfiguration, 0, 0, 0};
		if (entry & beyond_width)
			return {EptTranslation::Misconfiguration, 0, 0, 0};
		if (leaf && (!valid_leaf_memory_type(entry) || (entry & (page_bytes - 1) & kEntryAddress)))
			return {EptTranslation::Misconfiguration, 0, 0, 0};
		if (!leaf && (entry & (level == 4 ? bits(3, 7) : bits(3, 6))))
			return {EptTranslation::Misconfiguration, 0, 0, 0};
		rights &= own_rights;
		result.entry[result.entries++] = pointer;
		if (leaf) {
			result.rights = rights;
			result.address = (entry & kEntryAddress) | (guest_physical & (page_bytes - 1));
			result.page_bytes = page_bytes;
			return result;
		}
		table = entry & kEntryAddress;
	}
	return {EptTranslation::Violation, 0, 0, 0};
}

// An access by way of these entries.  SDM Vol. 3C, section 29.3.5.
inline void set_ept_flags(const EptTranslation& translation, bool write)
{
	for (unsigned i = 0; i < translation.entries; ++i) {
		const bool last = i + 1 == translation.entries;
		const u64 flags = kEptAccessed | (last && write ? kEptDirty : 0);
		if ((*translation.entry[i] & flags) != flags)
			__atomic_or_fetch(translation.entry[i], flags, __ATOMIC_RELAXED);
	}
}

inline bool is_dirty(const EptTranslation& translation)
{
	return translation.entries && (*translation.entry[translation.entries - 1] & kEptDirty);
}

inline void flush_nested_pages(Cpu& cpu)
{
	cpu.nested_pages_used = 0;
	fill_bytes(cpu.nested_root, 0, sizeof(cpu.nested_root));
	for (GuestPhysicalMapping& mapping : cpu.mappings)
		mapping.guest_page = kNoPage;
}

inline void map_nested_page(Cpu& cpu, u64 guest_physical, const EptTranslation& translation)
{
	const u64 large_page = translation.address & ~(kLargePageBytes - 1);
	const unsigned last_level = translation.page_bytes >= kLargePageBytes && is_plain(large_page, kLargePageBytes)
					    ? 2
					    : 1;
	// Nested paging has the depth of the monitor's own paging.
	unsigned level = 4;

	if (cpu.nested_pages_used + level > kNestedPages)
		flush_nested_pages(cpu);
	u64* table = cpu.nested_root;
	for (; level > last_level; --level) {
		u64& entry = table[guest_physical >> (12 + 9 * (level - 1)) & 511];
		if (!(entry & kPagePresent)) {
			u64* const page = cpu.nested_page[cpu.nested_pages_used++];
			fill_bytes(page, 0, kPageBytes);
			entry = Cpu::physical(page) | kPagePresent | kPageWritable | kPageUser | kPageAccessed;
		} else if (entry & kPageLarge) {
			// EPT has split what was one large page.
			flush_nested_pages(cpu);
			map_nested_page(cpu, guest_physical, translation);
			return;
		}
		table = at<u64>(entry & kEntryAddress);
	}
	const u64 page = last_level == 2 ? large_page : translation.address & kPageMask;
	u64 entry = kPagePresent | kPageUser | kPageAccessed | kPageDirty;
	entry |= last_level == 2 ? page | kPageLarge : translation.own ? page : visible_page(page);
	if ((translation.rights & kEptWrite) && page != kApicPage)
		entry |= kPageWritable;
	if (!(translation.rights & kEptExecute))
		entry |= kPageNoExecute;
	u64& slot = table[guest_physical >> (12 + 9 * (last_level - 1)) & 511];
	if (last_level == 2 && (slot & kPagePresent) && !(slot & kPageLarge)) {
		// EPT has joined small pages.
		flush_nested_pages(cpu);
		map_nested_page(cpu, guest_physical, translation);
		return;
	}
	slot = entry;
}

}  // namespace

#endif
