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

inline void trace_exit(const Vcpu& vcpu, VmExit exit, Result<Next> next)
{
	trace_vm_exit(vcpu, exit.basic_reason(), [next] { return exit_end(next); });
}

VREGCACHE_COLD Next end_with_failed_entry(Vcpu& vcpu, VmExit exit)
{
	if (exit.is_entry_failure())
		trace_vm_exit(vcpu, exit.basic_reason(), [] { return ExitEnd::kEntryFailure; });
	report_failed_entry(vcpu, exit.failure());
	return Next::kUserspace;
}

// Runs the guest with its FPU registers in the CPU, until an exit needs userspace or has to sleep.
// The task may be preempted in here, but never sleeps.
inline Result<Next> run_burst(Vcpu& vcpu, const LoadedVmcs& vmcs, VmExit& exit)
{
	for (;;) {
		{
			EntryScope scope;
			if (!scope.may_enter()) [[unlikely]] {
				if (scope.has_signal())
					return Next::kInterrupted;
				if (scope.has_task_work())
					return Next::kTaskWork;
				vrc_host_reschedule();
				continue;
			}
			exit = VREGCACHE_TRY(enter_once(vcpu, scope));
		}
		if (exit.entry_failed()) [[unlikely]]
			return end_with_failed_entry(vcpu, exit);
		Result<Next> next = handle_exit(vcpu, vmcs, exit.reason());
		if (!next.ok() || next.value() != Next::kMaySleep) [[likely]]
			trace_exit(vcpu, exit, next);
		if (!next.ok() || next.value() != Next::kResume)
			return next;
	}
}

inline Result<Next> run_until_userspace(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	for (;;) {
		// Kernels that initialize stack variables need not initialize this.
		[[gnu::uninitialized]] VmExit exit;
		vrc_host_fpu_enter(vcpu.host);
		Result<Next> burst = run_burst(vcpu, vmcs, exit);
		vrc_host_fpu_leave(vcpu.host);
		Next next = VREGCACHE_TRY(burst);
		if (next == Next::kUserspace) [[likely]]
			return next;
		if (next == Next::kMaySleep) {
			Result<Next> slept = handle_sleeping_exit(vcpu, vmcs, exit.reason());
			trace_exit(vcpu, exit, slept);
			next = VREGCACHE_TRY(slept);
		} else if (next == Next::kTaskWork) {
			next = vrc_host_do_task_work(vcpu.host) ? Next::kInterrupted : Next::kResume;
		} else if (next == Next::kSplitLock) {
			next = VREGCACHE_TRY(handle_split_lock(vcpu, vmcs));
		}
		if (next != Next::kResume)
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

inline Result<long> run_unless_refused(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
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
	return report_end(vcpu, VREGCACHE_TRY(run_until_userspace(vcpu, vmcs)));
}

inline Result<long> run_vcpu(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	long result = VREGCACHE_TRY(run_unless_refused(vcpu, vmcs));
	VREGCACHE_TRY(report_state(vcpu, vmcs));
	return result;
}

}  // namespace
