// SPDX-License-Identifier: GPL-2.0
// VM-entry and VM-exit, and the work that cannot wait after it.
#pragma once

#include "vcpu/vcpu.h"
#include "vcpu/vm_exit.h"
#include "vmx/interrupts.h"

namespace {

// Shows that the caller has a PinnedVmcs.  It is empty, so it takes no register.
struct MayEnter {
	[[gnu::always_inline]] MayEnter(const PinnedVmcs&) {}
};

// Interrupts off.  From the first register that gets the guest's value until the last has the host's again, a probe or a
// tracer would run with the guest's debug registers, XCR0 or CR2, and an NMI would wait for it.
// NOLINTNEXTLINE(readability-redundant-declaration): the other one makes it a friend
VmExit enter_guest(Vcpu& vcpu, MayEnter);

// Calls the hooks for an exit by an exception or NMI, once: an NMI handler that reads registers makes it earlier.
void report_exception(Vcpu& vcpu, const PinnedVmcs& vmcs);

// In an open window: the guest may run.  The task has no other work to do first, and the guest's FPU registers are in the CPU.
class GuestRun {
 public:
	explicit GuestRun(Vcpu& vcpu) : vcpu_(vcpu), refusal_(vrc_host_run_begin(vcpu.host)) {}
	~GuestRun()
	{
		// Only some kernels have something to do here (linux/fpu.c).
		if constexpr (VRC_FPU_IN_WINDOW_ONLY) {
			if (may_enter())
				vrc_host_run_end(vcpu_.host);
		}
	}
	GuestRun(const GuestRun&) = delete;
	GuestRun& operator=(const GuestRun&) = delete;

	bool may_enter() const { return !refusal_; }
	bool has_signal() const { return refusal_ == -EINTR; }
	bool has_task_work() const { return refusal_ == -EBUSY; }

	// Brings the VMCS and the CPU up to date with the host's state.  Interrupts are off until the last VM-entry, so it is done
	// once, before the first.
	Result<void> prepare(const PinnedVmcs& vmcs);

	// Enters the guest once.  If VM-entry fails, the log says why.
	Result<VmExit> enter(const PinnedVmcs& vmcs);

 private:
	Vcpu& vcpu_;
	int refusal_;
};

// The task leaves this CPU, or KVM_RUN ends: brings the host's state back into the CPU.  Interrupts off.
[[gnu::always_inline]] inline void bring_host(Vcpu& vcpu);

// Reports a failed VM-entry in kvm_run.  @reason: as VmExit::failure() returns it.
inline void report_failed_entry(Vcpu& vcpu, u64 reason);

}  // namespace
