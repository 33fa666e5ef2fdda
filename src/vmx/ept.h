// SPDX-License-Identifier: GPL-2.0
// Extended page tables of one virtual machine (SDM Vol. 3C, 29.3): four levels, 4 KiB pages, filled on demand.
//
// The caller holds the memory lock of the virtual machine.  A page that becomes present needs no flush, because the CPU does
// not cache absent entries; a caller that unmaps a page calls flush() before the page is reused.
#pragma once

#include "vmx/operation.h"

namespace {

constexpr u64 kPageSize = 4096;
constexpr u64 kPageMask = ~(kPageSize - 1);
constexpr u32 kGuestPhysicalBits = 48;  // reach of four levels

class Ept {
 public:
	bool create() { return (root_ = static_cast<u64*>(vrc_host_alloc_page())); }

	// No vCPU uses the tables any more.  The CPUs' cached translations are flushed first: the pages will be reused, and the
	// root's address may become that of another virtual machine's root.
	void destroy()
	{
		if (!root_)
			return;
		flush();
		free_table(root_, kLevels);
		root_ = nullptr;
	}

	// Write-back memory, page walks of length 4 (SDM Vol. 3C, 25.6.11).
	u64 pointer() const { return vrc_host_physical(root_) | kMemoryTypeWriteBack | (kLevels - 1) << 3; }

	// Maps one page, or returns -ENOMEM.  May sleep.
	int map(u64 guest_physical, u64 host_physical)
	{
		u64* table = root_;
		for (u32 level = kLevels; level > 1; level--) {
			u64& entry = table[slot(guest_physical, level)];
			if (!entry) {
				void* page = vrc_host_alloc_page();
				if (!page)
					return -ENOMEM;
				// Ordered after the page's zeroes: another CPU may walk the table at once.
				__atomic_store_n(&entry, vrc_host_physical(page) | kRead | kWrite | kExecute,
						 __ATOMIC_RELEASE);
			}
			table = table_of(entry);
		}
		// Write-back regardless of the guest's PAT: the host maps the page as write-back, and a page must not have two
		// memory types at a time (SDM Vol. 3A, 12.12.4).
		u64 entry = host_physical | kRead | kWrite | kExecute | kMemoryTypeWriteBack << 3 | kIgnorePat;
		__atomic_store_n(&table[slot(guest_physical, 1)], entry, __ATOMIC_RELAXED);
		return 0;
	}

	// Unmaps a range of pages.  No vCPU can access them after the next flush().  May sleep.
	void zap(u64 guest_physical, u64 page_count)
	{
		u64 first = guest_physical / kPageSize;
		zap_below(root_, kLevels, first, first + page_count);
	}

	// Interrupts every CPU, which makes it leave the guest, and flushes its cached entries of these tables.
	// Then frees the tables that zap() has emptied.
	void flush()
	{
		vrc_host_on_each_cpu(flush_this_cpu, this);
		while (emptied_) {
			u64* table = emptied_;
			emptied_ = reinterpret_cast<u64*>(table[0]);
			vrc_host_free_page(table);
		}
	}

 private:
	static constexpr u64 kRead = 1, kWrite = 2, kExecute = 4;
	static constexpr u64 kMemoryTypeWriteBack = 6, kIgnorePat = 1u << 6;
	static constexpr u32 kLevels = 4;
	static constexpr u64 kAddressMask = 0x000ffffffffff000;

	static u32 slot(u64 address, u32 level) { return address >> (12 + 9 * (level - 1)) & 511; }
	static u64* table_of(u64 entry) { return static_cast<u64*>(vrc_host_direct_map(entry & kAddressMask)); }

	// Clears the entries for the pages from @page up to @end, all of them below @table.  Returns true if the table is now
	// empty.
	bool zap_below(u64* table, u32 level, u64 page, u64 end)
	{
		const u64 reach = u64{1} << 9 * (level - 1);  // pages that an entry covers
		while (page < end) {
			u64& entry = table[slot(page * kPageSize, level)];
			u64 next = (page & ~(reach - 1)) + reach;
			if (next > end)
				next = end;
			if (entry && level == 1) {
				__atomic_store_n(&entry, 0, __ATOMIC_RELAXED);
			} else if (entry) {
				u64* below = table_of(entry);
				if (zap_below(below, level - 1, page, next)) {
					__atomic_store_n(&entry, 0, __ATOMIC_RELAXED);
					// CPUs may still walk the table.  The link, a page's address, is not a present entry.
					__atomic_store_n(&below[0], reinterpret_cast<u64>(emptied_), __ATOMIC_RELAXED);
					emptied_ = below;
				}
			}
			page = next;
		}
		if (level == 2)
			vrc_host_reschedule();
		for (u32 i = 0; i < 512; i++) {
			if (table[i])
				return false;
		}
		return true;
	}

	static void free_table(u64* table, u32 level)
	{
		for (u32 i = 0; level > 1 && i < 512; i++) {
			if (table[i])
				free_table(table_of(table[i]), level - 1);
		}
		if (level == 2)
			vrc_host_reschedule();
		vrc_host_free_page(table);
	}

	static void flush_this_cpu(void* self)
	{
		if (!this_cpu().on)
			return;
		u64 pointer = static_cast<Ept*>(self)->pointer();
		Result<void> done = g_vmx.invept_single ? invept(InveptType::kSingleContext, pointer)
							: invept(InveptType::kAllContexts, 0);
		if (!done.ok())
			vrc_host_warn("INVEPT failed");
	}

	u64* root_ = nullptr;
	u64* emptied_ = nullptr;  // tables that the next flush() frees, linked through their first entry
};

}  // namespace
