// SPDX-License-Identifier: GPL-2.0
// The memory that belongs to the monitor.  The page tables (rom.S) map all physical memory to itself, and the area a second
// time at VIRTUAL_BASE, where the monitor is linked.
#ifndef VMX_ON_SVM_AREA_H
#define VMX_ON_SVM_AREA_H

#include "layout.h"
#include "types.h"

namespace {

constexpr u64 kMappedBytes = bit(40);

u64 g_area;        // physical
u64 g_area_bytes;  // a power of two
u64 g_start_page;  // physical; the start-up page
u32 g_cpu_limit;   // one more than the greatest APIC ID

inline bool in_area(u64 physical) { return physical - g_area < g_area_bytes; }

// A global of the monitor.
inline u64 physical_of(const void* global) { return reinterpret_cast<u64>(global) - VIRTUAL_BASE + g_area; }

template <typename T>
T* at(u64 physical)
{
	return reinterpret_cast<T*>(physical);
}

}  // namespace

#endif
