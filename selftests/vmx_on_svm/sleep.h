// SPDX-License-Identifier: GPL-2.0
// Suspend to RAM.  The BIOS wakes the boot CPU outside of SVM, and jumps to the waking vector that the operating system has left
// in memory: the monitor puts the start-up page there when the machine goes to sleep.  ACPI 6.4, sections 5.2.5 to 5.2.10.
#ifndef VMX_ON_SVM_SLEEP_H
#define VMX_ON_SVM_SLEEP_H

#include "cpu.h"

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
