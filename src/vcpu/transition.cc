// SPDX-License-Identifier: GPL-2.0
// VM-entry and VM-exit.
#include "vcpu/transition.h"
#include "vmx/noinstr.h"

namespace {

// An NMI is handled before anything else, because it may be anywhere that the next one comes: NMIs are blocked until the
// host's handler returns, and a breakpoint or a page fault of code that is traced would end that by its IRET.
[[gnu::always_inline]] inline Error take_exit(Vcpu& vcpu, const PinnedVmcs& vmcs, u32& reason)
{
	Error error = vcpu.cache.vm_exit_untraced(vmcs).error();
	reason = VREGCACHE_TRY(vcpu.cache.read_untraced<Reg::kExitReason>(vmcs));
	if (reason & kOrdinaryExit) [[likely]]
		return error;
	vcpu.exception_untold = true;
	u32 information = VREGCACHE_TRY(vcpu.cache.read_untraced<Reg::kExitInterruptionInformation>(vmcs));
	if (InterruptionInformation{information}.is_nmi())
		vrc_host_handle_nmi(vcpu.host);
	return error;
}

VRC_NOINSTR u32 cross(Vcpu& vcpu, MayEnter)
{
	vcpu.entry.to_guest(vcpu.breakpoints_armed);
	EntryResult result = static_cast<EntryResult>(vrc_vmx_enter(&vcpu.frame, vcpu.vmcs.launched()));
	vcpu.entry.to_host();
	u32 reason = 0;
	Error error = Error::kNone;
	if (result == EntryResult::kExited) [[likely]] {
		error = take_exit(vcpu, PinnedVmcs(vcpu.access(), VmcsKey()), reason);
		if ((reason & kOrdinaryExit) && error == Error::kNone) [[likely]]
			return reason;
	}
	vcpu.crossing = {result, error};
	return 0;
}

VREGCACHE_COLD void tell_exception(Vcpu& vcpu, const PinnedVmcs& vmcs)
{
	constexpr u32 kReason = static_cast<u32>(ExitReason::kExceptionOrNmi);
	if (!vcpu.exception_untold)
		return;
	vcpu.exception_untold = false;
	if (vcpu.cache.is_available(Reg::kExitInterruptionInformation))
		tell_exit<Reg::kExitReason, Reg::kExitInterruptionInformation>(vcpu, vmcs, kReason);
	else
		tell_exit<Reg::kExitReason>(vcpu, vmcs, kReason);
}

[[maybe_unused]] VREGCACHE_COLD Result<void> finish_exception(Vcpu& vcpu, const PinnedVmcs& vmcs)
{
	Error error = vcpu.crossing.error;
	bool known = vcpu.cache.is_available(Reg::kExitInterruptionInformation);
	if (!known && !vcpu.exception_untold) {
		vcpu.cache.tell_vm_exit(vmcs);
		return error;
	}
	tell_exception(vcpu, vmcs);
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
