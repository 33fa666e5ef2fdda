// SPDX-License-Identifier: GPL-2.0
// The module's only C++ translation unit: its parts, from the hardware up.  A part uses only parts above it here or in the same
// layer (scripts/layers checks this).  Everything has internal linkage, except the functions for the C part (machine.h).

// NOLINTBEGIN(bugprone-suspicious-include)

// ---- VMX on the CPU ----
#include "vmx/capability.cc"
#include "vmx/controls.cc"
#include "vmx/ept.cc"
#include "vmx/exit_reason.cc"
#include "vmx/host_state.cc"
#include "vmx/operation.cc"
#include "vmx/raw_vmx.cc"
#include "vmx/vmcs.cc"
#include "vmx/vmcs_setup.cc"

// ---- why a VM-entry failed ----
#include "vmx/explain/entry_check_controls.cc"
#include "vmx/explain/entry_check_guest.cc"
#include "vmx/explain/entry_check_host.cc"
#include "vmx/explain/entry_check_rules.cc"
#include "vmx/explain/entry_failure.cc"
#include "vmx/explain/field_name.cc"
#include "vmx/explain/vm_instruction_error.cc"

// ---- counters, trace events, verification and the context rule ----
#include "instrument/counter_table.cc"
#include "instrument/counters.cc"
#include "instrument/names.cc"
#include "instrument/verification.cc"

// ---- a virtual machine and its vCPUs ----
#include "vcpu/consistency.cc"
#include "vcpu/control_register.cc"
#include "vcpu/cpuid.cc"
#include "vcpu/debug_register.cc"
#include "vcpu/event.cc"
#include "vcpu/exception.cc"
#include "vcpu/guest_memory.cc"
#include "vcpu/guest_sample.cc"
#include "vcpu/injection.cc"
#include "vcpu/instruction.cc"
#include "vcpu/msr.cc"
#include "vcpu/page_walk.cc"
#include "vcpu/reset.cc"
#include "vcpu/trace.cc"
#include "vcpu/transition.cc"
#include "vcpu/vcpu.cc"
#include "vcpu/vm.cc"
#include "vcpu/vmcs_error.cc"
#include "vcpu/vmcs_window.cc"

// ---- VM-exits, one file per kind, and what several kinds need ----
#include "vcpu/exits/breakpoint.cc"
#include "vcpu/exits/control_register.cc"
#include "vcpu/exits/cpuid.cc"
#include "vcpu/exits/debug_register.cc"
#include "vcpu/exits/dispatch.cc"
#include "vcpu/exits/ept_violation.cc"
#include "vcpu/exits/exception.cc"
#include "vcpu/exits/exit_result.cc"
#include "vcpu/exits/hlt.cc"
#include "vcpu/exits/interrupt_window.cc"
#include "vcpu/exits/interrupted_event.cc"
#include "vcpu/exits/msr.cc"
#include "vcpu/exits/port_io.cc"
#include "vcpu/exits/string_memory.cc"
#include "vcpu/exits/vmcall.cc"
#include "vcpu/exits/wbinvd.cc"
#include "vcpu/exits/xsetbv.cc"

// ---- KVM_RUN ----
#include "vcpu/run_checks.cc"
#include "vcpu/run.cc"

// ---- KVM's API ----
#include "kvm_api/cpuid.cc"
#include "kvm_api/debug_registers.cc"
#include "kvm_api/dispatch.cc"
#include "kvm_api/events.cc"
#include "kvm_api/fpu.cc"
#include "kvm_api/mp_state.cc"
#include "kvm_api/msrs.cc"
#include "kvm_api/register_checks.cc"
#include "kvm_api/registers.cc"
#include "kvm_api/vm.cc"
#include "kvm_api/xcrs.cc"

// ---- for tests, which build the module with this ----
#ifdef VRC_TEST_HOOKS
#include "test_hooks/machine_hooks.cc"
#endif

// NOLINTEND(bugprone-suspicious-include)
