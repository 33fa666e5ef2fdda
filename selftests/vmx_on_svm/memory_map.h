// SPDX-License-Identifier: GPL-2.0
// The BIOS's memory map, in which the area is reserved: INT 15h, functions E820 and E801, hooked in rom.S.
#ifndef VMX_ON_SVM_MEMORY_MAP_H
#define VMX_ON_SVM_MEMORY_MAP_H

#include "sleep.h"

namespace {

u64 g_rom;  // physical
u16 g_hook_e820, g_hook_e801;

class MemoryMapHook {
 public:
	explicit MemoryMapHook(Cpu& cpu) : cpu_(cpu), vmcb_(cpu.root_vmcb) {}

	// True if the VMMCALL at RIP is one of the hook's.
	bool handle()
	{
		constexpr unsigned kVmmcallBytes = 3;

		if (vmcb_.cs.base != g_rom || (vmcb_.cr0 & kCr0ProtectionEnable))
			return false;
		watch_waking_vector(cpu_);
		if (vmcb_.rip == g_hook_e820)
			mark_area();
		else if (vmcb_.rip == g_hook_e801)
			limit_memory();
		else
			return false;
		vmcb_.rip += kVmmcallBytes;
		return true;
	}

 private:
	struct [[gnu::packed]] Entry {
		u64 base, bytes;
		u32 type;
	};

	// The BIOS has given one entry.  The one that contains the area becomes up to three; the top byte of the continuation value
	// that the caller gave, in EBP, is the number of the one it wants.
	void mark_area()
	{
		constexpr u32 kMemory = 1, kReserved = 2, kContinuation = 0xffffff;
		u64* const registers = cpu_.state.registers;
		Entry& entry = *static_cast<Entry*>(cpu_.memory(vmcb_.es.base + (registers[kRdi] & 0xffff)));
		const u64 begin = entry.base, end = entry.base + entry.bytes;
		const u64 area_end = g_area + g_area_bytes;
		const u32 asked = registers[kRbp];
		unsigned part = asked >> 24;

		if (entry.type != kMemory || begin > g_area || end < area_end)
			return;
		if (begin == g_area)
			++part;
		const unsigned last = end == area_end ? 1 : 2;
		switch (part) {
		case 0:
			entry.bytes = g_area - begin;
			break;
		case 1:
			entry = {g_area, g_area_bytes, kReserved};
			break;
		default:
			entry = {area_end, end - area_end, kMemory};
		}
		if (part < last)
			registers[kRbx] = (asked & kContinuation) | ((asked >> 24) + 1) << 24;
	}

	// Memory above 16 MiB, in units of 64 KiB, in BX and DX.
	void limit_memory()
	{
		const u64 blocks = g_area > bit(24) ? (g_area - bit(24)) >> 16 : 0;
		constexpr unsigned kHolding[] = {kRbx, kRdx};
		for (const unsigned number : kHolding) {
			u64& value = cpu_.state.registers[number];
			if ((value & 0xffff) > blocks)
				value = (value & ~u64{0xffff}) | blocks;
		}
	}

	Cpu& cpu_;
	Vmcb& vmcb_;
};

}  // namespace

#endif
