// SPDX-License-Identifier: GPL-2.0
// Nested paging outside of VMX non-root operation, and for guests without EPT: physical memory as it is, without the monitor.
// The same tables serve all CPUs; the boot CPU writes them once.
#ifndef VMX_ON_SVM_ROOT_PAGING_H
#define VMX_ON_SVM_ROOT_PAGING_H

#include "apic.h"

namespace {

// Nested page-table entries are ordinary ones.  The user bit is required, and the dirty bit lets QEMU cache writes.
constexpr u64 kPagePresent = bit(0);
constexpr u64 kPageWritable = bit(1);
constexpr u64 kPageUser = bit(2);
constexpr u64 kPageAccessed = bit(5);
constexpr u64 kPageDirty = bit(6);
constexpr u64 kPageLarge = bit(7);
constexpr u64 kPageNoExecute = bit(63);
constexpr u64 kPageAll = kPagePresent | kPageWritable | kPageUser | kPageAccessed | kPageDirty;
constexpr u64 kLargePageBytes = bit(21);
constexpr u64 kHugePageBytes = bit(30);

// Pages of the monitor that a guest may see.
alignas(4096) u8 g_blank[kPageBytes];        // where the area is
alignas(4096) u8 g_start_image[kPageBytes];  // where the start-up page is

// The page that a guest gets for a host-physical one.
inline u64 visible_page(u64 page)
{
	if (in_area(page))
		return physical_of(g_blank);
	return page == g_start_page ? physical_of(g_start_image) : page;
}

// Whether each page of a large one is what the guest gets, with all rights.
inline bool is_plain(u64 page, u64 page_bytes)
{
	auto contains = [&](u64 address) { return (address & ~(page_bytes - 1)) == page; };
	return !contains(g_area) && !in_area(page) && !contains(g_start_page) && !contains(kApicPage);
}

class RootPaging {
 public:
	void build()
	{
		for (u64 i = 0; i < kMappedBytes / (512 * kHugePageBytes); ++i)
			root_[i] = link(pdpt_ + i * 512);
		for (u64 i = 0; i < kMappedBytes / kHugePageBytes; ++i)
			pdpt_[i] = i * kHugePageBytes | kPageAll | kPageLarge;
		const u64 special[] = {g_start_page, g_area, kApicPage};
		for (const u64 address : special)
			split_huge(address & ~(kHugePageBytes - 1));
		for (u64& entry : hidden_)
			entry = physical_of(g_blank) | kPageAll;
		for (u64 offset = 0; offset < g_area_bytes; offset += kLargePageBytes)
			*directory_entry(g_area + offset) = link(hidden_);
		split_large(g_start_page, low_);
		split_large(kApicPage, high_);
		high_[kApicPage >> 12 & 511] &= ~kPageWritable;
	}

	u64 pointer() const { return physical_of(root_); }

	// Whether writes to that page of ordinary memory below 4 GiB fault.
	void set_writable(u64 page, bool writable)
	{
		split_huge(page & ~(kHugePageBytes - 1));
		u64& large = *directory_entry(page);
		if (large & kPageLarge)
			split_large(page, watched_);
		u64& entry = at<u64>(large & bits(12, 51))[page >> 12 & 511];
		entry = writable ? entry | kPageWritable : entry & ~kPageWritable;
	}

 private:
	static u64 link(const void* table) { return physical_of(table) | kPageAll; }

	void split_huge(u64 address)
	{
		u64& entry = pdpt_[address / kHugePageBytes];
		if (!(entry & kPageLarge))
			return;
		u64* const directory = directory_[directories_++];
		for (u64 i = 0; i < 512; ++i)
			directory[i] = (address + i * kLargePageBytes) | kPageAll | kPageLarge;
		entry = link(directory);
	}

	u64* directory_entry(u64 address)
	{
		const u64 directory = pdpt_[address / kHugePageBytes] & bits(12, 51);
		return at<u64>(directory) + (address / kLargePageBytes & 511);
	}

	void split_large(u64 address, u64* table)
	{
		const u64 first = address & ~(kLargePageBytes - 1);
		for (u64 i = 0; i < 512; ++i)
			table[i] = visible_page(first + i * kPageBytes) | kPageAll;
		*directory_entry(address) = link(table);
	}

	alignas(4096) u64 root_[512];
	alignas(4096) u64 pdpt_[1024];
	alignas(4096) u64 directory_[4][512];
	alignas(4096) u64 low_[512];
	alignas(4096) u64 high_[512];
	alignas(4096) u64 hidden_[512];
	alignas(4096) u64 watched_[512];
	unsigned directories_;
};

RootPaging g_root_paging;

}  // namespace

#endif
