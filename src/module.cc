// SPDX-License-Identifier: GPL-2.0
// The module's only C++ translation unit: its parts, from the hardware up.  A part uses only parts above it here or in the same
// layer (scripts/layers checks this).  Everything has internal linkage, except the functions for the C part (machine.h).

// NOLINTBEGIN(bugprone-suspicious-include)

// ---- VMX on the CPU ----
#include "vmx/capability.cc"
#include "vmx/controls.cc"
#include "vmx/operation.cc"
#include "vmx/vmcs_setup.cc"

// ---- why a VM-entry failed ----
#include "vmx/explain/entry_failure.cc"

// ---- counters, trace events, verification and the context rule ----
#include "instrument/counter_table.cc"

// ---- a vCPU ----
#include "vcpu/consistency.cc"
#include "vcpu/control_register.cc"
#include "vcpu/cpuid.cc"
#include "vcpu/exception.cc"
#include "vcpu/guest_sample.cc"
#include "vcpu/injection.cc"
#include "vcpu/instruction.cc"
#include "vcpu/msr.cc"
#include "vcpu/trace.cc"
#include "vcpu/transition.cc"
#include "vcpu/vcpu_load.cc"

// ---- VM-exits, one file per kind ----
#include "vcpu/exits/control_register.cc"
#include "vcpu/exits/cpuid.cc"
#include "vcpu/exits/debug_register.cc"
#include "vcpu/exits/dispatch.cc"
#include "vcpu/exits/ept_violation.cc"
#include "vcpu/exits/exception.cc"
#include "vcpu/exits/hlt.cc"
#include "vcpu/exits/interrupt_window.cc"
#include "vcpu/exits/msr.cc"
#include "vcpu/exits/port_io.cc"
#include "vcpu/exits/simple.cc"
#include "vcpu/exits/xsetbv.cc"

// ---- KVM_RUN ----
#include "vcpu/run.cc"

// ---- KVM's API ----
#include "kvm_api/cpuid.cc"
#include "kvm_api/debug_registers.cc"
#include "kvm_api/dispatch.cc"
#include "kvm_api/events.cc"
#include "kvm_api/fpu.cc"
#include "kvm_api/msrs.cc"
#include "kvm_api/registers.cc"
#include "kvm_api/sregs_check.cc"
#include "kvm_api/vcpu.cc"
#include "kvm_api/vm.cc"

// ---- for tests, which build the module with this ----
#ifdef VRC_TEST_HOOKS
#include "test_hooks/machine_hooks.cc"
#endif

// NOLINTEND(bugprone-suspicious-include)
