// SPDX-License-Identifier: GPL-2.0
// Extended page tables of one virtual machine (SDM Vol. 3C, 29.3): four levels, 4 KiB pages, filled on demand.
//
// The caller holds the memory lock of the virtual machine.  A page that becomes present needs no flush, because the CPU does
// not cache absent entries; a caller that unmaps a page calls flush() before the page is reused.
#pragma once

#include "linux/host.h"
#include "vmx/architecture.h"

namespace {

constexpr u64 kPageSize = 4096;
constexpr u64 kPageMask = ~(kPageSize - 1);
constexpr u32 kGuestPhysicalBits = 48;  // reach of four levels

class Ept {
 public:
	// Returns false if there is no memory.
	bool create();

	// No vCPU uses the tables any more.  The CPUs' cached translations are flushed first: the pages will be reused, and the
	// root's address may become that of another virtual machine's root.
	void destroy();

	// Write-back memory, page walks of length 4 (SDM Vol. 3C, 25.6.11).
	u64 pointer() const { return vrc_host_physical(root_) | memory_type::kWriteBack | (kLevels - 1) << 3; }

	// Maps one page, or returns -ENOMEM.  May sleep.
	int map(u64 guest_physical, u64 host_physical);

	// Unmaps a range of pages.  No vCPU can access them after the next flush().  May sleep.
	void zap(u64 guest_physical, u64 page_count);

	// Interrupts every CPU, which makes it leave the guest, and flushes its cached entries of these tables.
	// Then frees the tables that zap() has emptied.
	void flush();

 private:
	static constexpr u64 kRead = 1, kWrite = 2, kExecute = 4;
	static constexpr u64 kIgnorePat = 1u << 6;
	static constexpr u32 kLevels = 4;
	static constexpr u64 kAddressMask = 0x000ffffffffff000;

	static u32 slot(u64 address, u32 level) { return address >> (12 + 9 * (level - 1)) & 511; }
	static u64* table_of(u64 entry) { return static_cast<u64*>(vrc_host_direct_map(entry & kAddressMask)); }

	// Clears the entries for the pages from @page up to @end, all of them below @table.  Returns true if the table is now
	// empty.
	bool zap_below(u64* table, u32 level, u64 page, u64 end);
	static void free_table(u64* table, u32 level);
	static void flush_this_cpu(void* self);

	u64* root_ = nullptr;
	u64* emptied_ = nullptr;  // tables that the next flush() frees, linked through their first entry
};

}  // namespace
