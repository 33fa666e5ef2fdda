// SPDX-License-Identifier: GPL-2.0
// MSRs of the guest.
#include "vcpu/control_register.h"
#include "vcpu/msr.h"

namespace {

// A switched MSR; for any other, copy is null.
inline SwitchedMsr switched_msr(u32 index)
{
	switch (index) {
	// clang-format off
	case msr::kStar: return {index, &GuestMsrs::star};
	case msr::kLstar: return {index, &GuestMsrs::lstar};
	case msr::kCstar: return {index, &GuestMsrs::cstar};
	case msr::kSfmask: return {index, &GuestMsrs::sfmask};
	case msr::kKernelGsBase: return {index, &GuestMsrs::kernel_gs_base};
	case msr::kTscAux: return {index, g_vmx.facts.rdtscp ? &GuestMsrs::tsc_aux : nullptr};
	default: return {};
		// clang-format on
	}
}

VREGCACHE_COLD bool is_announced(const CpuModel& model, u32 index)
{
	switch (index) {
	case msr::kTimeStampCounter:
		return model.tsc;
	case msr::kSysenterCs:
	case msr::kSysenterEsp:
	case msr::kSysenterEip:
		return model.sysenter;
	case msr::kPat:
		return model.pat;
	case msr::kEfer:
		return model.efer;
	case msr::kStar:
	case msr::kLstar:
	case msr::kCstar:
	case msr::kSfmask:
	case msr::kFsBase:
	case msr::kGsBase:
	case msr::kKernelGsBase:
		return model.long_mode;
	case msr::kTscAux:
		return model.rdtscp;
	default:
		return true;
	}
}

inline bool guest_has_msr(const CpuModel& model, u32 index)
{
	return model.has_every_msr || is_announced(model, index);
}

inline Result<MsrValue> read_msr(Vcpu& vcpu, const LoadedVmcs& vmcs, MsrUser user, u32 index)
{
	if (user == MsrUser::kGuest && !guest_has_msr(vcpu.model, index))
		return MsrValue{};
	auto known = [](u64 value) { return MsrValue{true, value}; };
	if (SwitchedMsr which = switched_msr(index); which.copy) {
		return known(vcpu.load_switch.read(vcpu.msrs, which));
	}
	switch (index) {
	// clang-format off
	case msr::kTimeStampCounter: return known(rdtsc() + vcpu.controls.tsc_offset.value());
	case msr::kApicBase: return known(vcpu.apic_base);
	case msr::kSysenterCs: return known(vcpu.msr_fields.sysenter_cs.value());
	case msr::kSysenterEsp: return known(vcpu.msr_fields.sysenter_esp.value());
	case msr::kSysenterEip: return known(vcpu.msr_fields.sysenter_eip.value());
	case msr::kDebugctl: return known(VREGCACHE_TRY(guest_debugctl(vcpu, vmcs)));
	case msr::kPat: return known(vcpu.msr_fields.pat.value());
	case msr::kEfer: return known(VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs)));
	// clang-format on
	case msr::kFsBase:
		return known(VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(Segment::kFs, SegmentPart::kBase))));
	case msr::kGsBase:
		return known(VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(Segment::kGs, SegmentPart::kBase))));
	default:
		return MsrValue{};
	}
}

inline bool is_valid_pat(u64 value)
{
	for (u32 i = 0; i < 8; i++) {
		if (!is_pat_memory_type(value >> (8 * i) & 0xff))
			return false;
	}
	return true;
}

inline u64 allowed_apic_base(const CpuModel& model)
{
	return ~(apic_base::kReserved | apic_base::kX2apic | model.beyond_physical);
}

inline Result<bool> write_msr(Vcpu& vcpu, const LoadedVmcs& vmcs, MsrUser user, u32 index, u64 value)
{
	if (user == MsrUser::kGuest && !guest_has_msr(vcpu.model, index))
		return false;
	auto is_address = [](u32 number) {
		return number == msr::kLstar || number == msr::kCstar || number == msr::kKernelGsBase ||
		       number == msr::kFsBase || number == msr::kGsBase || number == msr::kSysenterEsp ||
		       number == msr::kSysenterEip;
	};
	// The guest can use wider addresses than its CPUID allows: the CPU checks SWAPGS and WRFSBASE, without an exit.
	const u32 linear_bits = user == MsrUser::kGuest ? vcpu.model.linear_bits : g_vmx.linear_bits;
	if (is_address(index) && !is_canonical(value, linear_bits))
		return false;

	if (SwitchedMsr which = switched_msr(index); which.copy) {
		if (((index == msr::kSfmask) || (index == msr::kTscAux)) && value >> 32)
			return false;
		vcpu.load_switch.write(vcpu.msrs, which, value);
		return true;
	}
	switch (index) {
	case msr::kTimeStampCounter:
		VREGCACHE_TRY(vcpu.controls.tsc_offset.set(vmcs, value - rdtsc()));
		return true;
	case msr::kApicBase:
		if (value & ~allowed_apic_base(vcpu.model))
			return false;
		vcpu.apic_base = value;
		return true;
	case msr::kSysenterCs:
		VREGCACHE_TRY(vcpu.msr_fields.sysenter_cs.set(vmcs, static_cast<u32>(value)));
		return true;
	case msr::kSysenterEsp:
		VREGCACHE_TRY(vcpu.msr_fields.sysenter_esp.set(vmcs, value));
		return true;
	case msr::kSysenterEip:
		VREGCACHE_TRY(vcpu.msr_fields.sysenter_eip.set(vmcs, value));
		return true;
	case msr::kDebugctl:
		if (value & ~(debugctl::kLbr | debugctl::kBtf))
			return false;
		set_guest_debugctl(vcpu, vmcs, value);
		return true;
	case msr::kPat:
		if (!is_valid_pat(value))
			return false;
		VREGCACHE_TRY(vcpu.msr_fields.pat.set(vmcs, value));
		return true;
	case msr::kEfer:
		return user == MsrUser::kGuest ? load_efer(vcpu, vmcs, value) : set_efer(vcpu, vmcs, value);
	case msr::kFsBase:
		VREGCACHE_TRY(vcpu.cache.write(vmcs, segment_register(Segment::kFs, SegmentPart::kBase), value));
		return true;
	case msr::kGsBase:
		VREGCACHE_TRY(vcpu.cache.write(vmcs, segment_register(Segment::kGs, SegmentPart::kBase), value));
		return true;
	default:
		return false;
	}
}

}  // namespace
