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

Result<Next> handle_control_register(Vcpu& vcpu, const LoadedVmcs& vmcs);
Result<Next> handle_mov_dr(Vcpu& vcpu, const LoadedVmcs& vmcs);

Result<Next> handle_xsetbv(Vcpu& vcpu, const LoadedVmcs& vmcs);

Result<Next> handle_ept_violation(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Between two windows: maps the page that an EPT violation needs.  May sleep.
inline GuestMemory::Fault map_memory(Vcpu& vcpu);
// In the next window: what follows it.
inline Result<Next> memory_mapped(Vcpu& vcpu, const LoadedVmcs& vmcs, GuestMemory::Fault fault);

// The guest has executed a split lock, and the kernel does not allow it.
Result<Next> report_split_lock(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The host handled NMI and #MC before interrupts were on again.
Result<Next> handle_exception_or_nmi(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The guest can take an interrupt now; the next VM-entry delivers the pending one.
Result<Next> handle_interrupt_window(Vcpu& vcpu, const LoadedVmcs& vmcs);

// In the window in which the guest ran.
Result<Next> handle_exit(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason);

}  // namespace
