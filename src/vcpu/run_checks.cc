// SPDX-License-Identifier: GPL-2.0
// Checks of KVM_RUN for state that VM-entry does not check: registers that need a CPUID, and PDPTEs that need memory.
#include "vcpu/control_register.h"
#include "vcpu/run_checks.h"
#include "vcpu/transition.h"
#include "vmx/exit_reason.h"

namespace {

constexpr u64 kFailedByGuestState = kEntryFailure | static_cast<u32>(ExitReason::kInvalidGuestState);

// Does the guest's CPU have the bits that are set in its registers?
inline Result<bool> fits_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	const u64 cr4 = VREGCACHE_TRY(guest_cr4(vcpu, vmcs));
	const u64 efer = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
	const u64 cr3 = VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs));
	const DisallowedBits found = find_disallowed_bits(vcpu.model, cr4, efer, vcpu.entry_switch.xcr0, cr3);
	if (!found.name)
		return true;
	vrc_host_error(
		"vCPU %u: KVM_RUN refused: guest %s is %#llx, but the guest's CPUID allows only %#llx; change the "
		"register or the CPUID",
		vcpu.id, found.name, found.value, found.allowed);
	return false;
}

inline Result<bool> load_missing_pdptes(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 cr3 = VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs));
	if (VREGCACHE_TRY(load_pdptes(vcpu, vmcs, cr3)))
		return true;
	vrc_host_error("vCPU %u: KVM_RUN refused; SDM Vol. 3C, 27.3.1.6: a PDPTE at guest CR3 %#llx has reserved bits "
		       "set or lies outside all memory slots; change CR3, the PDPTE or the memory slots",
		       vcpu.id, cr3);
	return false;
}

VREGCACHE_COLD Result<bool> check_before_run(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if ((vcpu.due & Vcpu::kNewCpuid) && !VREGCACHE_TRY(fits_cpuid(vcpu, vmcs))) {
		report_failed_entry(vcpu, kFailedByGuestState);
		return false;
	}
	vcpu.due &= ~Vcpu::kNewCpuid;
	if ((vcpu.due & Vcpu::kPdptesNotLoaded) && !VREGCACHE_TRY(load_missing_pdptes(vcpu, vmcs))) {
		report_failed_entry(vcpu, kFailedByGuestState);
		return false;
	}
	return true;
}

}  // namespace
