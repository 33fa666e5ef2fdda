// SPDX-License-Identifier: GPL-2.0
// What the module does for the guest at each VM-exit.
#pragma once

#include "vcpu/exits/exit_result.h"
#include "vmx/exit_reason.h"

namespace {

Result<Next> handle_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs);
Result<Next> handle_hlt(Vcpu& vcpu, const LoadedVmcs& vmcs);

// INVD and WBINVD: guest memory is write-back, and coherent.
Result<Next> handle_cache_flush(Vcpu& vcpu, const LoadedVmcs& vmcs);

// No hypercall is offered; RAX reports that as in KVM.
Result<Next> handle_vmcall(Vcpu& vcpu, const LoadedVmcs& vmcs);

Result<Next> handle_rdmsr(Vcpu& vcpu, const LoadedVmcs& vmcs);
Result<Next> handle_wrmsr(Vcpu& vcpu, const LoadedVmcs& vmcs);

Result<Next> handle_control_register(Vcpu& vcpu, const LoadedVmcs& vmcs, bool may_sleep);
Result<Next> handle_mov_dr(Vcpu& vcpu, const LoadedVmcs& vmcs);

Result<Next> handle_xsetbv(Vcpu& vcpu, const LoadedVmcs& vmcs);

Result<Next> handle_ept_violation(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The guest has executed a split lock, and the host detects them.  May sleep.
Result<Next> handle_split_lock(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The host handled NMI and #MC before interrupts were on again.
Result<Next> handle_exception_or_nmi(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The guest can take an interrupt now; the next VM-entry delivers the pending one.
Result<Next> handle_interrupt_window(Vcpu& vcpu, const LoadedVmcs& vmcs);

// handle_exit() must not sleep.  If it returns kMaySleep, nothing has changed, and handle_sleeping_exit() must follow.
Result<Next> handle_exit(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason);
inline Result<Next> handle_sleeping_exit(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason);

}  // namespace
