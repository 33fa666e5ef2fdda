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
	kOutOfMemory,  // KVM_RUN fails with ENOMEM; the next run tries again
	kMaySleep,  // nothing was done: the exit must be handled again where it may sleep, with the guest's FPU registers saved
	kTaskWork,   // the task has other work to do first, which may sleep
	kSplitLock,  // the kernel must handle a split lock; its handler may sleep
	kNotNow,     // kvm_run's immediate_exit: KVM_RUN fails with EINTR before the guest runs
};

// An instruction that the module does not emulate: userspace gets what it needs to identify it.
Result<Next> give_up(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason);

}  // namespace
