// SPDX-License-Identifier: GPL-2.0
// MSRs as the running code sees them, be it Linux or its guest.
#ifndef VMX_ON_SVM_MSR_H
#define VMX_ON_SVM_MSR_H

#include "cpu.h"

namespace {

constexpr u64 kEferDefined = kEferSyscall | kEferLongMode | kEferLongModeActive | kEferNoExecute;
constexpr u64 kDebugControlDefined = bits(0, 1) | bits(6, 15);

// Eight memory types, one a byte.  SDM Vol. 3A, section 12.12.2.
constexpr bool valid_pat(u64 value)
{
	for (unsigned i = 0; i < 8; ++i) {
		const u64 type = value >> 8 * i & 0xff;
		if (type == 2 || type == 3 || type > 7)
			return false;
	}
	return true;
}

constexpr bool holds_address(u32 msr)
{
	return msr == kMsrSysenterEsp || msr == kMsrSysenterEip || msr == 0xc0000082 || msr == 0xc0000083 ||
	       (msr >= kMsrFsBase && msr <= 0xc0000102);
}

// False where RDMSR raises #GP.
[[nodiscard]] inline bool read_msr(Cpu& cpu, u32 msr, u64& value)
{
	switch (msr) {
	case kMsrFeatureControl:
		value = cpu.feature_control;
		return true;
	case kMsrVmxBasic ... kMsrVmxLast:
		value = read_capability(cpu.facts, cpu.misc, msr);
		return true;
	case kMsrEfer:
		value = cpu.vmcb().efer & ~kEferSvme;
		return true;
	case kMsrDebugControl:
		value = cpu.debug_control;
		return true;
	case kMsrTimeStampCounter:
		value = rdtsc() + (cpu.in_guest ? cpu.guest_vmcb.tsc_offset : 0);
		return true;
	case kMsrVmCr:
	case kMsrVmHsavePa:
		return false;
	default:
		return !vos_rdmsr_safe(msr, &value);
	}
}

[[nodiscard]] inline bool write_efer(Cpu& cpu, u64 value)
{
	Vmcb& vmcb = cpu.vmcb();

	if (value & ~kEferDefined)
		return false;
	if (((value ^ vmcb.efer) & kEferLongMode) && (vmcb.cr0 & kCr0Paging))
		return false;
	vmcb.efer = (value & ~kEferLongModeActive) | (vmcb.efer & kEferLongModeActive) | kEferSvme;
	return true;
}

// False where WRMSR raises #GP.
[[nodiscard]] inline bool write_msr(Cpu& cpu, u32 msr, u64 value)
{
	switch (msr) {
	case kMsrFeatureControl:
		if (cpu.feature_control & kFeatureControlLocked)
			return false;
		cpu.feature_control = value;
		return true;
	case kMsrVmxBasic ... kMsrVmxLast:
	case kMsrVmCr:
	case kMsrVmHsavePa:
		return false;
	case kMsrEfer:
		return write_efer(cpu, value);
	case kMsrDebugControl:
		if (value & ~kDebugControlDefined)
			return false;
		cpu.debug_control = value;
		return true;
	case kMsrPat:
		if (!valid_pat(value))
			return false;
		wrmsr(kMsrPat, value);
		return true;
	default:
		if (holds_address(msr) && !cpu.facts.canonical(value))
			return false;
		return !vos_wrmsr_safe(msr, value);
	}
}

// An entry of the MSR areas.  SDM Vol. 3C, section 25.7.2.
struct MsrAreaEntry {
	u32 index;
	u32 reserved;
	u64 value;
};
static_assert(sizeof(MsrAreaEntry) == 16);

constexpr bool in_x2apic_range(u32 msr) { return msr >= kMsrX2apicFirst && msr <= kMsrX2apicLast; }

// Gives the number of the entry that failed, from 1, or 0.  SDM Vol. 3C, sections 27.4 and 28.6.
[[nodiscard]] inline u64 load_msr_area(Cpu& cpu, u64 address, u64 count)
{
	for (u64 i = 0; i < count; ++i) {
		const MsrAreaEntry entry = *static_cast<MsrAreaEntry*>(cpu.memory(address + i * sizeof(MsrAreaEntry)));
		const bool forbidden = entry.reserved || entry.index == kMsrFsBase || entry.index == kMsrGsBase ||
				       entry.index == kMsrSmmMonitorControl || in_x2apic_range(entry.index);
		if (forbidden || !write_msr(cpu, entry.index, entry.value))
			return i + 1;
	}
	return 0;
}

// SDM Vol. 3C, section 28.4.
[[nodiscard]] inline u64 store_msr_area(Cpu& cpu, u64 address, u64 count)
{
	for (u64 i = 0; i < count; ++i) {
		MsrAreaEntry& entry = *static_cast<MsrAreaEntry*>(cpu.memory(address + i * sizeof(MsrAreaEntry)));
		u64 value;
		if (entry.reserved || in_x2apic_range(entry.index) || !read_msr(cpu, entry.index, value))
			return i + 1;
		entry.value = value;
	}
	return 0;
}

}  // namespace

#endif
