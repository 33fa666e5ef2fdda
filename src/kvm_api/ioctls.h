// SPDX-License-Identifier: GPL-2.0
// The functions that implement KVM's ioctls.
#pragma once

#include "kvm_api/user_memory.h"
#include "vcpu/vcpu.h"
#include "vcpu/vm.h"

namespace {

// Logs why a vCPU's ioctl is refused; returns -EINVAL.
inline int refuse(const Vcpu& vcpu, const char* ioctl, const char* why)
{
	vrc_host_error("vCPU %u: %s refused: %s", vcpu.id, ioctl, why);
	return -EINVAL;
}

// ---- of the device ----

inline long get_api_version(unsigned long argument);
inline long get_vcpu_mmap_size(unsigned long argument);

// Returns the same for the device and for a virtual machine.  Zero: not offered.
inline long check_extension(unsigned long extension);

inline long get_supported_cpuid(unsigned long argument);
inline long get_msr_index_list(unsigned long argument);

// ---- of a virtual machine ----

inline long set_user_memory_region(Vm& vm, unsigned long argument);
inline long set_tss_addr(Vm& vm, unsigned long argument);
inline long set_identity_map_addr(Vm& vm, unsigned long argument);

// ---- of a vCPU; those with a token run in a window (in_window.h) ----

// KVM_INTERRUPT.  Unlike KVM, which expects userspace to have checked, the module keeps the interrupt until the guest can
// take it.  -EEXIST: one is already pending.
inline long add_interrupt(Vcpu& vcpu, unsigned long argument);

// KVM_NMI.
inline long add_nmi(Vcpu& vcpu, unsigned long argument);

// INT n, INT3 and INTO are not reported: RIP is still at the instruction, which will execute again.
inline Result<void> get_vcpu_events(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_vcpu_events& events);

inline Result<long> set_vcpu_events(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_vcpu_events& events);
inline Result<void> get_regs(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_regs& regs);
inline Result<long> set_regs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_regs& regs);
inline Result<void> get_sregs(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_sregs& sregs);
inline Result<long> set_sregs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_sregs& sregs);

// Both return the number of MSRs transferred; they stop at the first that is unknown or not allowed.
inline long get_msrs(Vcpu& vcpu, unsigned long argument);
inline long set_msrs(Vcpu& vcpu, unsigned long argument);

inline long get_fpu(Vcpu& vcpu, unsigned long argument);
inline long set_fpu(Vcpu& vcpu, unsigned long argument);
inline Result<void> get_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_debugregs& registers);
inline Result<long> set_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_debugregs& registers);
inline long get_xcrs(Vcpu& vcpu, unsigned long argument);
inline Result<long> set_xcrs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_xcrs& xcrs);
inline long set_cpuid(Vcpu& vcpu, unsigned long argument);

// As the guest would read it now.
inline long get_cpuid(Vcpu& vcpu, unsigned long argument);

inline long get_mp_state(Vcpu& vcpu, unsigned long argument);
inline long set_mp_state(Vcpu& vcpu, unsigned long argument);

}  // namespace
