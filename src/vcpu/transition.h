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

// Interrupts off, with a last check for other work of the task; on again when the scope ends.
class EntryScope {
 public:
	EntryScope() : host_cr4_(vrc_host_entry_begin()) {}
	~EntryScope()
	{
		if (host_cr4_ >= 0)
			turn_interrupts_on();
	}
	EntryScope(const EntryScope&) = delete;
	EntryScope& operator=(const EntryScope&) = delete;

	bool may_enter() const { return host_cr4_ >= 0; }
	bool has_signal() const { return host_cr4_ == -EINTR; }
	bool has_task_work() const { return host_cr4_ == -EBUSY; }
	u64 host_cr4() const { return static_cast<u64>(host_cr4_); }
	// Only if may_enter().
	const PinnedVmcs& vmcs(Vcpu& vcpu) const { return vcpu.token.vmcs_; }
	// The vCPU left the guest for an interrupt: the host takes it now, and the scope ends.
	void take_interrupt(Vcpu& vcpu);

 private:
	long host_cr4_;
};

// Prepares the VMCS and enters the guest once.  If VM-entry fails, the log says why.
inline Result<VmExit> enter_once(Vcpu& vcpu, EntryScope& scope);

// Reports a failed VM-entry in kvm_run.  @reason: as VmExit::failure() returns it.
inline void report_failed_entry(Vcpu& vcpu, u64 reason);

}  // namespace
