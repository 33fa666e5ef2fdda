// SPDX-License-Identifier: GPL-2.0
// Extended page tables of one virtual machine.
#include "vmx/ept.h"

#include <asm/errno.h>

#include "vmx/capability.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"

namespace {

// The page may have been a root of KVM's, which flushes when it starts to use a root and not when it frees one.
inline bool Ept::create()
{
	root_ = static_cast<u64*>(vrc_host_alloc_page());
	if (root_ && g_vmx.beside_kvm)
		flush();
	return root_;
}

inline void Ept::destroy()
{
	if (!root_)
		return;
	flush();
	free_table(root_, kLevels);
	root_ = nullptr;
}

inline int Ept::map(u64 guest_physical, u64 host_physical)
{
	u64* table = root_;
	for (u32 level = kLevels; level > 1; level--) {
		u64& entry = table[slot(guest_physical, level)];
		if (!entry) {
			void* page = vrc_host_alloc_page();
			if (!page)
				return -ENOMEM;
			// Ordered after the page's zeroes: another CPU may walk the table at once.
			__atomic_store_n(&entry, vrc_host_physical(page) | kRead | kWrite | kExecute, __ATOMIC_RELEASE);
		}
		table = table_of(entry);
	}
	// Write-back regardless of the guest's PAT: the host maps the page as write-back, and a page must not have two
	// memory types at a time (SDM Vol. 3A, 12.12.4).
	u64 entry = host_physical | kRead | kWrite | kExecute | memory_type::kWriteBack << 3 | kIgnorePat;
	__atomic_store_n(&table[slot(guest_physical, 1)], entry, __ATOMIC_RELAXED);
	return 0;
}

inline void Ept::zap(u64 guest_physical, u64 page_count)
{
	u64 first = guest_physical / kPageSize;
	zap_below(root_, kLevels, first, first + page_count);
}

inline void Ept::flush()
{
	vrc_host_on_each_cpu(flush_this_cpu, this);
	while (emptied_) {
		u64* table = emptied_;
		emptied_ = reinterpret_cast<u64*>(table[0]);
		vrc_host_free_page(table);
	}
}

inline bool Ept::zap_below(u64* table, u32 level, u64 page, u64 end)
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

inline void Ept::free_table(u64* table, u32 level)
{
	for (u32 i = 0; level > 1 && i < 512; i++) {
		if (table[i])
			free_table(table_of(table[i]), level - 1);
	}
	if (level == 2)
		vrc_host_reschedule();
	vrc_host_free_page(table);
}

inline void Ept::flush_this_cpu(void* self)
{
	if (!this_cpu().on)
		return;
	u64 pointer = static_cast<Ept*>(self)->pointer();
	Result<void> done = g_vmx.invept_single ? invept(InveptType::kSingleContext, pointer)
						: invept(InveptType::kAllContexts, 0);
	if (!done.ok())
		vrc_host_warn("INVEPT failed");
}

}  // namespace
