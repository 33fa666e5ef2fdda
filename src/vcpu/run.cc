// SPDX-License-Identifier: GPL-2.0
// KVM_RUN.
#include "vcpu/exits/exits.h"
#include "vcpu/exits/port_io.h"
#include "vcpu/injection.h"
#include "vcpu/run.h"
#include "vcpu/run_checks.h"
#include "vcpu/trace.h"
#include "vcpu/transition.h"

namespace {

inline ExitEnd exit_end(Result<Next> next)
{
	if (!next.ok())
		return ExitEnd::kVmcsError;
	switch (next.value()) {
	case Next::kResume:
	case Next::kLetInterruptsIn:
	case Next::kSplitLock:
		return ExitEnd::kGuest;
	case Next::kUserspace:
		return ExitEnd::kUserspace;
	case Next::kInterrupted:
		return ExitEnd::kSignal;
	default:
		return ExitEnd::kOutOfMemory;
	}
}

[[gnu::always_inline]] inline void trace_exit(const Vcpu& vcpu, VmExit exit, Result<Next> next)
{
	if (traces_vm_exits()) [[unlikely]]
		emit_vm_exit(vcpu, exit.basic_reason(), exit_end(next));
}

inline void trace_failed_entry(const Vcpu& vcpu, VmExit exit)
{
	if (traces_vm_exits())
		emit_vm_exit(vcpu, exit.basic_reason(), ExitEnd::kEntryFailure);
}

VREGCACHE_COLD Next end_with_failed_entry(Vcpu& vcpu, VmExit exit)
{
	if (exit.is_entry_failure())
		trace_failed_entry(vcpu, exit);
	report_failed_entry(vcpu, exit.failure());
	return Next::kUserspace;
}

// Runs the guest until an exit needs userspace, or something needs interrupts on.
inline Result<Next> run_in_window(Vcpu& vcpu, const PinnedVmcs& vmcs, VmExit& exit)
{
	// Kernels that initialize stack variables need not initialize this.
	[[gnu::uninitialized]] GuestRun run(vcpu);
	if (!run.may_enter()) [[unlikely]]
		return run.has_signal()      ? Next::kInterrupted
		       : run.has_task_work() ? Next::kTaskWork
					     : Next::kReschedule;
	VREGCACHE_TRY(run.prepare(vmcs));
	for (;;) {
		exit = VREGCACHE_TRY(run.enter(vmcs));
		if (exit.entry_failed()) [[unlikely]]
			return end_with_failed_entry(vcpu, exit);
		// Here rather than among the handlers: it is the most frequent exit of a busy guest, and needs none of them.
		if (exit.reason() == ExitReason::kExternalInterrupt) {
			trace_exit(vcpu, exit, Next::kResume);
			return Next::kHostInterrupt;
		}
		Result<Next> next = handle_exit(vcpu, vmcs, exit.reason());
		if (!next.ok() || next.value() != Next::kMapMemory) [[likely]]
			trace_exit(vcpu, exit, next);
		if (!next.ok() || next.value() != Next::kResume)
			return next;
	}
}

// Closes the window for an EPT violation, and opens it again.
inline Result<Next> map_memory(Vcpu& vcpu, WindowHandle window, VmExit exit)
{
	window.close();
	const GuestMemory::Fault fault = map_memory(vcpu);
	window.reopen();
	if (!window.is_open())
		return Next::kInterrupted;
	Result<Next> next = memory_mapped(vcpu, window.vmcs(), fault);
	trace_exit(vcpu, exit, next);
	return next;
}

VREGCACHE_COLD Result<Next> handle_split_lock(Vcpu& vcpu, WindowHandle window)
{
	const u64 rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(window.vmcs()));
	window.close();
	const bool may_go_on = vrc_host_handle_split_lock(rip);
	window.reopen();
	if (!window.is_open())
		return Next::kInterrupted;
	return may_go_on ? Result<Next>(Next::kResume) : report_split_lock(vcpu, window.vmcs());
}

// What needs interrupts on.  The window is open again afterwards, unless window.error() says why not.
inline Result<Next> do_with_interrupts_on(Vcpu& vcpu, WindowHandle window, VmExit exit, Next what)
{
	if (what == Next::kMapMemory)
		return map_memory(vcpu, window, exit);
	if (what == Next::kSplitLock)
		return handle_split_lock(vcpu, window);
	window.close();
	Next next = Next::kResume;
	if (what == Next::kReschedule)
		vrc_host_reschedule();
	else if (what == Next::kTaskWork && vrc_host_do_task_work(vcpu.host))
		next = Next::kInterrupted;
	window.reopen();
	return next;
}

inline Result<Next> run_until_userspace(Vcpu& vcpu, WindowHandle window)
{
	for (;;) {
		// Kernels that initialize stack variables need not initialize this.
		[[gnu::uninitialized]] VmExit exit;
		Next next = VREGCACHE_TRY(run_in_window(vcpu, window.vmcs(), exit));
		if (next == Next::kUserspace) [[likely]]
			return next;
		if (next == Next::kHostInterrupt) {
			window.close_for_interrupt();
			window.reopen();
			next = Next::kResume;
		} else if (next > Next::kHostInterrupt) {
			next = VREGCACHE_TRY(do_with_interrupts_on(vcpu, window, exit, next));
		}
		if (next != Next::kResume || !window.is_open())
			return next;
	}
}

// Called when the guest is certain to run.  No feature is offered that would set a bit of kvm_run's flags.
inline void reset_exit(kvm_run& run)
{
	static_assert(__builtin_offsetof(kvm_run, exit_reason) == 8 && __builtin_offsetof(kvm_run, flags) == 14);
	// One store, which also clears the two members between them; report_state() sets those later.
	constexpr u64 kUnknown = KVM_EXIT_UNKNOWN;
	__builtin_memcpy(&run.exit_reason, &kUnknown, sizeof(kUnknown));
}

// The guest state that kvm_run reports at every return.
inline Result<void> report_state(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	bool enabled = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kIf;
	bool ready = enabled && !vcpu.pending.interrupt && !vcpu.injected.valid() &&
		     VREGCACHE_TRY(can_take_interrupt(vcpu, vmcs));
	kvm_run* run = vcpu.run;
	u64 apic_base = vcpu.apic_base;
	run->if_flag = enabled;
	run->apic_base = apic_base;
	run->ready_for_interrupt_injection = ready;
	return {};
}

// The return value of KVM_RUN.  kvm_run is only written: userspace may change it at any time.
inline long report_end(Vcpu& vcpu, Next next)
{
	if (next == Next::kUserspace) [[likely]]
		return 0;
	if (next == Next::kOutOfMemory)
		return -ENOMEM;
	vcpu.run->exit_reason = KVM_EXIT_INTR;
	return -EINTR;
}

// The guest has not run, so exit_reason is unchanged.
inline long refuse_run(Vcpu& vcpu, int error)
{
	vcpu.run->flags = 0;
	vcpu.run->cr8 = vcpu.cr8;
	return error;
}

// kResume: the guest may run.
VREGCACHE_OUT_OF_LINE Result<Next> do_what_is_due(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	Next next = VREGCACHE_TRY(complete_io(vcpu, vmcs));
	if (next != Next::kResume || !vcpu.due) [[likely]]
		return next;
	// Userspace may clear it at any time, so this read decides.
	if (is_set(vcpu.run->immediate_exit))
		return Next::kNotNow;
	return VREGCACHE_TRY(check_before_run(vcpu, vmcs)) ? Next::kResume : Next::kUserspace;
}

VREGCACHE_COLD Result<long> end_before_the_guest_runs(Vcpu& vcpu, Result<Next> next)
{
	if (!next.ok())
		return next.error();
	if (next.value() == Next::kNotNow)
		return refuse_run(vcpu, -EINTR);
	vcpu.run->flags = 0;
	return report_end(vcpu, next.value());
}

inline Result<long> run_unless_refused(Vcpu& vcpu, WindowHandle window)
{
	const LoadedVmcs& vmcs = window.vmcs();
	// KVM_CAP_SYNC_REGS is not offered.
	if (is_any_set(vcpu.run->kvm_valid_regs, vcpu.run->kvm_dirty_regs)) [[unlikely]]
		return refuse_run(vcpu, -EINVAL);
	// The module has no interrupt controller, so userspace keeps the task priority in kvm_run; load_cr8() updates it.
	u64 task_priority = __atomic_load_n(&vcpu.run->cr8, __ATOMIC_RELAXED);
	if (task_priority > 15)
		return refuse_run(vcpu, -EINVAL);
	vcpu.cr8 = task_priority;
	if (vcpu.due) [[unlikely]] {
		Result<Next> next = do_what_is_due(vcpu, vmcs);
		if (!next.ok() || next.value() != Next::kResume) [[unlikely]]
			return end_before_the_guest_runs(vcpu, next);
	}
	if (is_set(vcpu.run->immediate_exit)) [[unlikely]]
		return refuse_run(vcpu, -EINTR);
	reset_exit(*vcpu.run);
	return report_end(vcpu, VREGCACHE_TRY(run_until_userspace(vcpu, window)));
}

inline Result<long> run_vcpu(Vcpu& vcpu, WindowHandle window)
{
	// Observation of hits may have begun since the last run.
	if (vcpu.cache.hooks().watches_reads()) [[unlikely]]
		vcpu.cache.watching_changed(window.vmcs());
	long result = VREGCACHE_TRY(run_unless_refused(vcpu, window));
	if (result && !window.is_open()) [[unlikely]]
		return long{window.error()};
	VREGCACHE_TRY(report_state(vcpu, window.vmcs()));
	return result;
}

}  // namespace
