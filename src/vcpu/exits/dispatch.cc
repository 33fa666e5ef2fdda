// SPDX-License-Identifier: GPL-2.0
// Maps exit reasons to handlers.
#include "vcpu/exits/exits.h"
#include "vcpu/exits/port_io.h"

namespace {

VREGCACHE_COLD Result<Next> handle_rare_exit(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason)
{
	switch (reason) {
	// Never offered, or offered and never exiting.
	case ExitReason::kRdrand:
	case ExitReason::kRdseed:
	case ExitReason::kEncls:
	case ExitReason::kSeamcall:
	case ExitReason::kTdcall:
		return handle_invalid_opcode(vcpu, vmcs);
	default:
		// The VMX instructions have reasons 18 to 27; the guest's CPUID has no VMX.
		if (reason > ExitReason::kVmcall && reason <= ExitReason::kVmxon)
			return handle_invalid_opcode(vcpu, vmcs);
		return report_emulation_failure(vcpu, vmcs, reason);
	}
}

VRC_TRACEABLE Result<Next> handle_exit(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason)
{
	// A kernel that mitigates Spectre v2 has no jump tables, so the exit of an idle guest comes first.
	if (reason == ExitReason::kHlt)
		return handle_hlt(vcpu, vmcs);
	switch (reason) {
	case ExitReason::kExceptionOrNmi:
		return handle_exception_or_nmi(vcpu, vmcs);
	case ExitReason::kTripleFault:
		vcpu.run->exit_reason = KVM_EXIT_SHUTDOWN;
		return Next::kUserspace;
	case ExitReason::kCpuid:
		return handle_cpuid(vcpu, vmcs);
	case ExitReason::kInterruptWindow:
		return handle_interrupt_window(vcpu, vmcs);
	case ExitReason::kNmiWindow:
		// The next VM-entry delivers the pending NMI.
		return Next::kResume;
	case ExitReason::kInvd:
	case ExitReason::kWbinvd:
		return handle_cache_flush(vcpu, vmcs);
	case ExitReason::kRdpmc:
		return handle_general_protection(vcpu, vmcs);
	case ExitReason::kVmcall:
		return handle_vmcall(vcpu, vmcs);
	case ExitReason::kControlRegister:
		return handle_control_register(vcpu, vmcs);
	case ExitReason::kMovDr:
		return handle_mov_dr(vcpu, vmcs);
	case ExitReason::kIo:
		return handle_io(vcpu, vmcs);
	case ExitReason::kRdmsr:
		return handle_rdmsr(vcpu, vmcs);
	case ExitReason::kWrmsr:
		return handle_wrmsr(vcpu, vmcs);
	case ExitReason::kEptViolation:
		return handle_ept_violation(vcpu, vmcs);
	case ExitReason::kXsetbv:
		return handle_xsetbv(vcpu, vmcs);
	case ExitReason::kMwait:
	case ExitReason::kMonitor:
	case ExitReason::kInvept:
	case ExitReason::kInvvpid:
		return handle_invalid_opcode(vcpu, vmcs);
	default:
		return handle_rare_exit(vcpu, vmcs, reason);
	}
}

}  // namespace
