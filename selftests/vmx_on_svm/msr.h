// SPDX-License-Identifier: GPL-2.0
// MSRs as the running code sees them, be it root software or a guest.
#ifndef VMX_ON_SVM_MSR_H
#define VMX_ON_SVM_MSR_H

#include "apic.h"

namespace {

constexpr u64 kEferDefined = kEferSyscall | kEferLongMode | kEferLongModeActive | kEferNoExecute;
constexpr u64 kTscMultiplierOne = bit(48);
constexpr u64 kDebugControlDefined = bits(0, 1) | bits(6, 15);

// RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO,
// GDS_NO, RFDS_NO, ITS_NO: without this MSR Linux takes an Intel CPU that it does not know to have every fault.
constexpr u64 kArchCapabilities = bit(0) | bits(3, 6) | bit(8) | bits(13, 15) | bit(20) | bit(24) | bit(26) | bit(27) |
				  bit(62);

inline void apply_parameters(Cpu& cpu)
{
	cpu.feature_control = g_parameters.feature_control;
	cpu.misc = kVmxMisc | (g_parameters.vmwrite_any_field ? kMiscVmwriteAnyField : 0);
	cpu.facts.absent_secondary = g_parameters.absent_secondary;
}

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

// SDM Vol. 3C, section 25.6.5.  With a multiplier of 1.0, which KVM gives to most guests, there is nothing to do.
inline bool scales_tsc(Cpu& cpu)
{
	return (cpu.proc_controls & kProcTscOffsetting) && (cpu.proc2_controls & kProc2TscScaling) &&
	       cpu.read(Field::TscMultiplier) != kTscMultiplierOne;
}

inline u64 guest_tsc(Cpu& cpu, u64 tsc)
{
	if (scales_tsc(cpu))
		tsc = static_cast<u64>(static_cast<unsigned __int128>(tsc) * cpu.read(Field::TscMultiplier) >> 48);
	return tsc + cpu.guest_vmcb.tsc_offset;
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
		value = cpu.in_guest ? guest_tsc(cpu, rdtsc()) : rdtsc();
		return true;
	case kMsrArchCapabilities:
		value = kArchCapabilities;
		return true;
	case kMsrParameters ... kMsrLastParameter:
		if (cpu.in_guest || !g_parameters.testing)
			return false;
		value = g_parameters.*kParameters[msr - kMsrParameters].value;
		return true;
	case kMsrVmCr:
	case kMsrVmHsavePa:
		return false;
	default:
		return !vos_rdmsr_safe(msr, &value);
	}
}

// QEMU ignores bits 63:32 in MOV to CR0, and VMX operation restricts what CR0 may be.  Neither matters without IA-32e mode, in
// which firmware and boot loaders change CR0 often.
inline void intercept_root_cr0(Cpu& cpu)
{
	constexpr u16 kCr0 = bit(0);
	Vmcb& root = cpu.root_vmcb;
	root.intercept_cr_write = (root.intercept_cr_write & ~kCr0) | (root.efer & kEferLongMode ? kCr0 : 0);
}

[[nodiscard]] inline bool write_efer(Cpu& cpu, u64 value)
{
	Vmcb& vmcb = cpu.vmcb();

	if (value & ~kEferDefined)
		return false;
	if (((value ^ vmcb.efer) & kEferLongMode) && (vmcb.cr0 & kCr0Paging))
		return false;
	vmcb.efer = (value & ~kEferLongModeActive) | (vmcb.efer & kEferLongModeActive) | kEferSvme;
	if (!cpu.in_guest)
		intercept_root_cr0(cpu);
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
	case kMsrArchCapabilities:
	case kMsrVmCr:
	case kMsrVmHsavePa:
		return false;
	case kMsrParameters ... kMsrLastParameter:
		if (cpu.in_guest || !g_parameters.testing)
			return false;
		g_parameters.*kParameters[msr - kMsrParameters].value = value;
		apply_parameters(cpu);
		return true;
	case kMsrApicBase:
		// The page that nested paging protects.
		return (value & bits(12, 51)) == kApicPage && !vos_wrmsr_safe(msr, value);
	case kMsrX2apicInterruptCommand:
		if (!in_x2apic_mode())
			return false;
		write_x2apic_command(cpu, value);
		return true;
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
		// Without the offset: it is not the guest that reads.
		if (entry.index == kMsrTimeStampCounter)
			value = rdtsc();
		entry.value = value;
	}
	return 0;
}

}  // namespace

#endif
