// SPDX-License-Identifier: GPL-2.0
// VM-entry and VM-exit.
#include "vcpu/transition.h"

#include "vmx/noinstr.h"

namespace {

// An NMI is handled before anything else, or the next one could come anywhere: NMIs are blocked until the host's
// handler returns, but the IRET of a breakpoint or page fault in traced code would end the blocking.
[[gnu::always_inline]] inline Error take_exit(Vcpu& vcpu, const PinnedVmcs& vmcs, u32& reason)
{
	Error error = vcpu.cache.vm_exit_untraced(vmcs).error();
	reason = VREGCACHE_TRY(vcpu.cache.read_untraced<Reg::kExitReason>(vmcs));
	if (VmExit::is_ordinary(reason)) [[likely]]
		return error;
	vcpu.exception_unreported = true;
	u32 information = VREGCACHE_TRY(vcpu.cache.read_untraced<Reg::kExitInterruptionInformation>(vmcs));
	if (InterruptionInformation{information}.is_nmi())
		vrc_host_handle_nmi(vcpu.host);
	return error;
}

VRC_NOINSTR VmExit enter_guest(Vcpu& vcpu, MayEnter)
{
	vcpu.entry.to_guest(vcpu.breakpoints_armed);
	EntryResult entry = static_cast<EntryResult>(vrc_vmx_enter(&vcpu.frame, vcpu.vmcs.launched()));
	vcpu.entry.to_host();
	Error error = Error::kNone;
	if (entry == EntryResult::kExited) [[likely]] {
		u32 reason = 0;
		error = take_exit(vcpu, PinnedVmcs(vcpu.access(), VmcsKey()), reason);
		if (VmExit::is_ordinary(reason) && error == Error::kNone) [[likely]]
			return VmExit::of(reason);
	}
	return VmExit::extraordinary(entry, error);
}

VREGCACHE_COLD void report_exception(Vcpu& vcpu, const PinnedVmcs& vmcs)
{
	constexpr u32 kReason = static_cast<u32>(ExitReason::kExceptionOrNmi);
	if (!vcpu.exception_unreported)
		return;
	vcpu.exception_unreported = false;
	if (vcpu.cache.is_available(Reg::kExitInterruptionInformation))
		report_exit<Reg::kExitReason, Reg::kExitInterruptionInformation>(vcpu, vmcs, kReason);
	else
		report_exit<Reg::kExitReason>(vcpu, vmcs, kReason);
}

[[maybe_unused]] VREGCACHE_COLD Result<void> finish_exception(Vcpu& vcpu, const PinnedVmcs& vmcs, Error error)
{
	bool known = vcpu.cache.is_available(Reg::kExitInterruptionInformation);
	if (!known && !vcpu.exception_unreported) {
		vcpu.cache.report_vm_exit(vmcs);
		return error;
	}
	report_exception(vcpu, vmcs);
	if (!known)
		return error;
	InterruptionInformation what{static_cast<u32>(vcpu.cache.peek(Reg::kExitInterruptionInformation))};
	if (!what.is_nmi() && what.vector() == vector::kMachineCheck)
		vrc_host_handle_machine_check();
	if (error != Error::kNone)
		return error;
	return {};
}

}  // namespace
