// SPDX-License-Identifier: GPL-2.0
// What MOV to CR0 and CR4 may load, outside of VMX's own restrictions: the same for root software and for guests.
// SDM Vol. 3A, section 2.5, and Vol. 2B, MOV to control registers.
#ifndef VMX_ON_SVM_CONTROL_REGISTERS_H
#define VMX_ON_SVM_CONTROL_REGISTERS_H

#include "cpu.h"

namespace {

// Loads CR0, and EFER.LMA with it.  False, and nothing has changed, where MOV raises #GP.
[[nodiscard]] inline bool load_cr0(Cpu& cpu, u64 value)
{
	Vmcb& vmcb = cpu.vmcb();
	const bool paging = value & kCr0Paging;
	const bool turns_paging = (value ^ vmcb.cr0) & kCr0Paging;

	if (value >> 32)
		return false;
	if (paging && !(value & kCr0ProtectionEnable))
		return false;
	if ((value & kCr0NotWriteThrough) && !(value & kCr0CacheDisable))
		return false;
	if (!paging && (vmcb.cr4 & kCr4Pcide))
		return false;
	if (turns_paging && paging && (vmcb.efer & kEferLongMode)) {
		if (!(vmcb.cr4 & kCr4PhysicalAddressExtension) || (vmcb.cs.attributes & kAttributeLong))
			return false;
		vmcb.efer |= kEferLongModeActive;
	}
	if (turns_paging && !paging) {
		if (cpu.code_64())
			return false;
		vmcb.efer &= ~kEferLongModeActive;
	}
	vmcb.cr0 = (value & kCr0Defined) | kCr0ExtensionType;
	return true;
}

inline bool can_load_cr4(Cpu& cpu, u64 value)
{
	const Vmcb& vmcb = cpu.vmcb();
	const bool long_mode = cpu.long_mode();

	if (value & ~cpu.facts.cr4_may_be_1)
		return false;
	if (long_mode && (!(value & kCr4PhysicalAddressExtension) || ((value ^ vmcb.cr4) & kCr4La57)))
		return false;
	return !(value & ~vmcb.cr4 & kCr4Pcide) || (long_mode && !(vmcb.cr3 & 0xfff));
}

// The task-priority register of the virtual-APIC page: CR8 in its upper half.  SDM Vol. 3C, section 30.3.
inline u8* virtual_tpr(Cpu& cpu)
{
	constexpr u64 kTpr = 0x80;
	return static_cast<u8*>(cpu.memory(cpu.read(Field::VirtualApicAddress) + kTpr));
}

}  // namespace

#endif
