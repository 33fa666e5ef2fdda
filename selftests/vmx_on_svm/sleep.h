// SPDX-License-Identifier: GPL-2.0
// Suspend to RAM.  The BIOS wakes the boot CPU outside of SVM, and jumps to the waking vector that the operating system has left
// in memory, in the FACS: the monitor puts the start-up page there when the machine goes to sleep.  ACPI 6.4, sections 5.2.5 to
// 5.2.10.
//
// An intercept of one port makes each access to any port slow.  It begins with the first write to the FACS.
#ifndef VMX_ON_SVM_SLEEP_H
#define VMX_ON_SVM_SLEEP_H

#include "root_paging.h"

namespace {

constexpr u16 kPm1Control = 0x604;  // PM1a_CNT, where SeaBIOS places it on QEMU's machines; two bytes

u32 g_wake_vector;  // the operating system's, from sleep until the boot CPU has been started

inline u32* find_waking_vector(Cpu& cpu)
{
	constexpr u64 kRsdp = 0x2052545020445352, kFadt = 0x50434146;  // "RSD PTR ", "FACP"
	auto read32 = [&](u64 address) { return *static_cast<u32*>(cpu.memory(address)); };

	for (u64 rsdp = 0xe0000; rsdp < 0x100000; rsdp += 16) {
		if (*at<u64>(rsdp) != kRsdp)
			continue;
		const u64 rsdt = read32(rsdp + 16);
		const u32 bytes = read32(rsdt + 4);
		for (u64 i = 36; i < bytes && i < kPageBytes; i += 4) {
			const u64 table = read32(rsdt + i);
			if (read32(table) == kFadt)
				return static_cast<u32*>(cpu.memory(u64{read32(table + 36)} + 12));
		}
	}
	return nullptr;
}

bool g_watches_sleep;  // accesses to PM1a_CNT exit
u64 g_watched_page;    // that of the FACS as long as writes to it fault, or 0

// Software asks for the memory map: the BIOS's tables are complete.
inline void watch_waking_vector(Cpu& cpu)
{
	const u32* const vector = find_waking_vector(cpu);
	const u64 page = reinterpret_cast<u64>(vector) & kPageMask;
	if (g_watches_sleep || !vector || page >> 32 || !is_plain(page, kPageBytes) || g_watched_page == page)
		return;
	if (g_watched_page)
		g_root_paging.set_writable(g_watched_page, true);
	g_watched_page = page;
	g_root_paging.set_writable(page, false);
}

// A write to that page.  False if it is another one.
inline bool take_watched_write(u64 address)
{
	if (!g_watched_page || (address & kPageMask) != g_watched_page)
		return false;
	g_root_paging.set_writable(g_watched_page, true);
	g_watched_page = 0;
	g_watches_sleep = true;
	for (u32 id = 0; id < g_cpu_limit; ++id)
		__atomic_or_fetch(&cpu_by_id(id).root_vmcb.intercept_instructions[0],
				  static_cast<u32>(intercept(kExitIo)), __ATOMIC_SEQ_CST);
	return true;
}

// The value that is written to PM1a_CNT.
inline void before_sleep(Cpu& cpu, u32 value)
{
	constexpr u32 kSleepEnable = bit(13), kSleepType = bits(10, 12);
	constexpr u32 kSleepTypeS3 = 1 << 10;  // QEMU's

	if (!(value & kSleepEnable) || (value & kSleepType) != kSleepTypeS3)
		return;
	u32* const vector = find_waking_vector(cpu);
	if (!vector || !*vector)
		return;
	g_wake_vector = *vector;
	*vector = static_cast<u32>(g_start_page);
}

}  // namespace

#endif
