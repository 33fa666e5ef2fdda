// SPDX-License-Identifier: GPL-2.0
// Why a VM-entry failed.
#include "vmx/explain/entry_failure.h"

#include "vmx/architecture.h"
#include "vmx/capability.h"
#include "vmx/cpu.h"
#include "vmx/exit_reason.h"
#include "vmx/explain/field_name.h"
#include "vmx/explain/vm_instruction_error.h"
#include "vmx/instructions.h"

namespace {

// The fields in the VMCS: the cache is not used, and its counters do not count these reads.
struct RawFields {
	Result<u64> vmread(u32 encoding) const { return ::vmread(encoding); }
};

inline AllowedSettings allowed_settings(u32 capability_msr)
{
	u64 capability = rdmsr(capability_msr);
	return {static_cast<u32>(capability), static_cast<u32>(capability >> 32)};
}

inline EntryFacts entry_facts()
{
	constexpr u32 kRtm = 1u << 11, kBusLockDetection = 1u << 24;
	EntryFacts facts;
	facts.basic = rdmsr(msr::kVmxBasic);
	bool exact = facts.basic & vmx_basic::kTrueControls;
	facts.pin_based = allowed_settings(exact ? msr::kVmxTruePinbased : msr::kVmxPinbased);
	facts.primary = allowed_settings(exact ? msr::kVmxTrueProcbased : msr::kVmxProcbased);
	facts.secondary = allowed_settings(msr::kVmxProcbased2);
	facts.vm_exit = allowed_settings(exact ? msr::kVmxTrueExit : msr::kVmxExit);
	facts.vm_entry = allowed_settings(exact ? msr::kVmxTrueEntry : msr::kVmxEntry);
	facts.cr0_fixed0 = g_vmx.cr0_fixed0;
	facts.cr0_fixed1 = g_vmx.cr0_fixed1;
	facts.cr4_fixed0 = g_vmx.cr4_fixed0;
	facts.cr4_fixed1 = g_vmx.cr4_fixed1;
	facts.misc = rdmsr(msr::kVmxMisc);
	facts.ept_vpid = rdmsr(msr::kVmxEptVpid);
	facts.physical_bits = g_vmx.physical_bits;
	facts.linear_bits = g_vmx.linear_bits;
	CpuidResult features = cpuid(7);
	facts.rtm = features.ebx & kRtm;
	facts.bus_lock_detection = features.ecx & kBusLockDetection;
	return facts;
}

inline void log_finding(u32 vcpu, const char* what, const EntryFinding& finding)
{
	const char* name = field_name(finding.field);
	if (!finding.operand_name) {
		vrc_host_error("vCPU %u: %s; SDM Vol. 3C, %s: %s is %#llx, %s", vcpu, what, finding.section, name,
			       finding.value, finding.rule);
		return;
	}
	vrc_host_error("vCPU %u: %s; SDM Vol. 3C, %s: %s is %#llx, %s (%s %#llx)", vcpu, what, finding.section, name,
		       finding.value, finding.rule, finding.operand_name, finding.operand);
}

inline void log_failed_entry(u32 vcpu, const char* what, const EntryFinding& finding)
{
	if (finding.found())
		log_finding(vcpu, what, finding);
	else
		vrc_host_error("vCPU %u: %s; the module's own checks found no invalid field; report this as a bug",
			       vcpu, what);
}

VREGCACHE_COLD void explain_vm_fail(u32 vcpu, u32 error)
{
	EntryFinding finding;
	if (error == vm_instruction_error::kInvalidControl) {
		finding = find_invalid_control(RawFields(), entry_facts());
	} else if (error == vm_instruction_error::kInvalidHostState) {
		finding = find_invalid_host_state(RawFields(), entry_facts());
	} else {
		vrc_host_error("vCPU %u: VM-entry failed: %s (VM-instruction error %u)", vcpu,
			       vm_instruction_error_text(error), error);
		return;
	}
	log_failed_entry(vcpu,
			 error == vm_instruction_error::kInvalidControl
				 ? "VM-entry failed: a control field is invalid (VM-instruction error 7)"
				 : "VM-entry failed: a host-state field is invalid (VM-instruction error 8)",
			 finding);
}

VREGCACHE_COLD void explain_entry_failure_exit(u32 vcpu, u32 reason, u64 qualification)
{
	switch (reason & kBasicExitReasonMask) {
	case static_cast<u32>(ExitReason::kInvalidGuestState):
		log_failed_entry(vcpu, "VM-entry failed: the guest's state is invalid (exit reason 33)",
				 find_invalid_guest_state(RawFields(), entry_facts(), qualification));
		return;
	case static_cast<u32>(ExitReason::kMsrLoading):
		vrc_host_error(
			"vCPU %u: VM-entry failed: an MSR could not be loaded (exit reason 34); SDM Vol. 3C, 27.4: entry "
			"%llu of %llu in the VM-entry MSR-load area",
			vcpu, qualification,
			RawFields().vmread(AnyField(vregcache::kVmEntryMsrLoadCount).encoding).value_or(0));
		return;
	case static_cast<u32>(ExitReason::kMachineCheckDuringEntry):
		vrc_host_error(
			"vCPU %u: VM-entry failed: a machine check occurred during it (exit reason 41); SDM Vol. 3C, 27.9",
			vcpu);
		return;
	default:
		vrc_host_error("vCPU %u: VM-entry failed: exit reason %#x is not in the SDM (exit qualification %#llx)",
			       vcpu, reason, qualification);
		return;
	}
}

}  // namespace
