// SPDX-License-Identifier: GPL-2.0
// VM-entry and VM-exit, from the last change of the VMCS to the first decision about the exit.
#include "vcpu/transition.h"

#include "vcpu/consistency.h"
#include "vcpu/trace.h"
#include "vmx/explain/entry_failure.h"
#include "vmx/noinstr.h"

namespace {

// ---- before VM-entry ----

// Fields outside the register cache that VM-exit does not change: the VMCS must have the value last written.
VREGCACHE_COLD void verify_last_written(Vcpu& vcpu, const PinnedVmcs& vmcs)
{
	auto verify = [&](const auto& field) {
		auto report = [&](u32 encoding, u64 in_memory, u64 in_vmcs) {
			vcpu.cache.hooks().verification.last_written_mismatch(encoding, in_memory, in_vmcs);
		};
		if (field.verify(vmcs, report))
			count_verified(VRC_VERIFIED_LAST_WRITTEN);
	};
	for_each_last_written(vcpu.controls, verify);
	for_each_last_written(vcpu.msr_fields, verify);
	for_each_last_written(vcpu.host_fields, verify);
}

// The host's IA32_DEBUGCTL has changed, perhaps in a bit that must apply in the guest too.
VREGCACHE_COLD Result<void> follow_host_debugctl(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 guests = VREGCACHE_TRY(guest_debugctl(vcpu, vmcs));
	vcpu.hosts_debugctl = vcpu.entry_switch.follow_host_debugctl();
	set_guest_debugctl(vcpu, vmcs, guests);
	return {};
}

inline Result<void> GuestRun::prepare(const PinnedVmcs& vmcs)
{
	Vcpu& vcpu = vcpu_;
	VREGCACHE_TRY(vcpu.host_fields.cr3.set(vmcs, read_cr3()));
	VREGCACHE_TRY(vcpu.host_fields.cr4.set(vmcs, read_hardware_cr4()));
	VREGCACHE_TRY(vcpu.load_switch.to_guest(vmcs, vcpu.host_fields, vcpu.msrs, vcpu.vmcs.host()));
	// Only an NMI could change it before the window closes, and an NMI leaves it as it was.
	if (vcpu.entry_switch.read_host_debugctl()) [[unlikely]]
		VREGCACHE_TRY(follow_host_debugctl(vcpu, vmcs));
	if (g_vmx.beside_kvm) [[unlikely]]
		vcpu.ran_beside_kvm = true;
	return {};
}

[[gnu::always_inline]] inline void bring_host(Vcpu& vcpu)
{
	vcpu.load_switch.to_host(vcpu.msrs);
	// KVM executes no barrier before it enters the vCPU that was its last one on this CPU, wherever that has run since.
	if (vcpu.ran_beside_kvm) [[unlikely]] {
		vcpu.ran_beside_kvm = false;
		vrc_host_prediction_barrier();
	}
}

inline Result<void> prepare_entry(Vcpu& vcpu, const PinnedVmcs& vmcs)
{
	VREGCACHE_TRY(reconcile(vcpu, vmcs));
	trace_vm_entry(vcpu);
	VREGCACHE_TRY(vcpu.cache.write_back(vmcs));
	if (vcpu.injected.valid()) {
		bool protected_mode = VREGCACHE_TRY(host_owned_cr0<cr0::kPe>(vcpu, vmcs));
		VREGCACHE_TRY(vcpu.injected.inject(vmcs, vcpu.controls, protected_mode));
	}
	if (verifies()) [[unlikely]]
		verify_last_written(vcpu, vmcs);
	return {};
}

// ---- VM-entry and VM-exit ----

// The NMI is handled first: the IRET of a breakpoint or page fault in traced code would unblock NMIs too early.
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
	vcpu.entry_switch.to_guest(vcpu.breakpoints_armed);
	EntryResult entry = static_cast<EntryResult>(vrc_vmx_enter(&vcpu.frame, vcpu.vmcs.launched()));
	vcpu.entry_switch.to_host();
	Error error = Error::kNone;
	if (entry == EntryResult::kExited) [[likely]] {
		u32 reason = 0;
		error = take_exit(vcpu, PinnedVmcs(vcpu.access(), VmcsKey()), reason);
		if (VmExit::is_ordinary(reason) && error == Error::kNone) [[likely]]
			return VmExit::of(reason);
	}
	return VmExit::extraordinary(entry, error);
}

// Calls the hooks for an exit that enter_guest() returned.
template <Reg... kRead>
[[gnu::always_inline]] inline void report_exit(Vcpu& vcpu, const PinnedVmcs& vmcs, u32 basic_reason)
{
	vcpu.cache.hooks().counters.begin_exit(basic_reason);
	vcpu.cache.report_vm_exit<kRead...>(vmcs);
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

// An exit by an exception or NMI, or one of which a field could not be read (@error).
VREGCACHE_COLD Result<void> finish_exception(Vcpu& vcpu, const PinnedVmcs& vmcs, Error error)
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

// ---- after VM-exit ----

// VMLAUNCH or VMRESUME failed, and the VMCS has the reason in its VM-instruction error.
inline Result<VmExit> vm_fail(Vcpu& vcpu, const PinnedVmcs& vmcs, VmExit exit)
{
	vcpu.cache.vm_fail(vmcs);
	if (exit.entry() == EntryResult::kFault)
		return Error::kFault;
	if (exit.entry() == EntryResult::kVmFailInvalid)
		return Error::kVmFailInvalid;
	u32 error = VREGCACHE_TRY(vmcs.read(vregcache::kVmInstructionError));
	explain_vm_fail(vcpu.id, error);
	if (vcpu.injected.valid())
		VREGCACHE_TRY(Event::take_back(vmcs));
	return VmExit::vm_fail(error);
}

// VM-entry loaded guest state and then failed.
VREGCACHE_COLD Result<VmExit> vm_entry_failure(Vcpu& vcpu, const PinnedVmcs& vmcs, VmExit exit)
{
	vcpu.cache.vm_entry_failure_exit(vmcs);
	u64 qualification = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs));
	if (exit.reason() == ExitReason::kMachineCheckDuringEntry)
		vrc_host_handle_machine_check();
	explain_entry_failure_exit(vcpu.id, exit.failure(), qualification);
	if (vcpu.injected.valid())
		VREGCACHE_TRY(Event::take_back(vmcs));
	return exit;
}

[[gnu::always_inline]] inline void entered(Vcpu& vcpu)
{
	vcpu.vmcs.set_launched();
	vcpu.injected.information = {};
}

// VMfail, an error at the exit, or an exit by an exception or NMI.  Without an exit reason, VM-entry is assumed to have
// succeeded: the event was delivered, and there is no second VMLAUNCH.
VREGCACHE_COLD Result<VmExit> extraordinary_exit(Vcpu& vcpu, const PinnedVmcs& vmcs, VmExit exit)
{
	if (exit.entry() != EntryResult::kExited)
		return vm_fail(vcpu, vmcs, exit);
	if (!(vcpu.cache.peek(Reg::kExitReason) & kEntryFailure))
		entered(vcpu);
	VREGCACHE_TRY(finish_exception(vcpu, vmcs, exit.error()));
	return VmExit{};
}

inline Result<VmExit> GuestRun::enter(const PinnedVmcs& vmcs)
{
	Vcpu& vcpu = vcpu_;
	VREGCACHE_TRY(prepare_entry(vcpu, vmcs));
	if (g_vmx.facts.flush_l1d)
		wrmsr(msr::kFlushCommand, 1);

	const VmExit exit = enter_guest(vcpu, vmcs);
	if (!exit.is_ordinary()) [[unlikely]]
		return extraordinary_exit(vcpu, vmcs, exit);
	report_exit<Reg::kExitReason>(vcpu, vmcs, exit.basic_reason());
	if (exit.is_entry_failure()) [[unlikely]]
		return vm_entry_failure(vcpu, vmcs, exit);
	entered(vcpu);
	return exit;
}

inline void report_failed_entry(Vcpu& vcpu, u64 reason)
{
	vcpu.run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu.run->fail_entry.hardware_entry_failure_reason = reason;
	vcpu.run->fail_entry.cpu = vrc_host_cpu();
}

}  // namespace
