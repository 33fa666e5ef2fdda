// SPDX-License-Identifier: GPL-2.0
// What follows the handling of an exit, and how userspace learns of it.
#pragma once

#include "vcpu/vcpu.h"
#include "vmx/exit_reason.h"

namespace {

enum class Next : u8 {
	kResume,       // enter the guest again
	kUserspace,    // kvm_run says why
	kInterrupted,  // KVM_RUN fails with EINTR: the task has a signal
	kNotNow,       // kvm_run's immediate_exit: KVM_RUN fails with EINTR before the guest runs
	kOutOfMemory,  // KVM_RUN fails with ENOMEM; the next run tries again

	// What needs interrupts on; all but the first two may sleep.
	kHostInterrupt,    // the host takes the interrupt that has ended the guest's run
	kLetInterruptsIn,  // enter the guest again, but not in the same window
	kReschedule,       // the scheduler wants the CPU
	kTaskWork,         // the task has other work to do first
	kMapMemory,        // an EPT violation: map_memory() and memory_mapped() follow
	kSplitLock,        // the kernel decides about a split lock
};

// The instruction was emulated: skips it and resumes the guest.
inline Result<Next> resume_after_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The guest gets #UD or #GP(0) for the instruction.
Result<Next> handle_invalid_opcode(Vcpu& vcpu, const LoadedVmcs& vmcs);
Result<Next> handle_general_protection(Vcpu& vcpu, const LoadedVmcs& vmcs);

// An instruction that the module does not emulate, or an access outside all memory: kvm_run has KVM_EXIT_INTERNAL_ERROR, and
// what identifies the cause.
Result<Next> report_emulation_failure(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason);
inline Next report_emulation_failure(Vcpu& vcpu, ExitReason reason, u64 qualification, u64 guest_physical);

}  // namespace
