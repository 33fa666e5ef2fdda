// SPDX-License-Identifier: GPL-2.0
// CPUID: what the module can offer on this CPU, what userspace chose, and what the guest reads.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// Fills @entries with the supported leaves, at most @limit of them; returns how many are supported.
inline u32 supported_cpuid(kvm_cpuid_entry2* entries, u32 limit);

inline CpuidResult registers_of(const kvm_cpuid_entry2& entry) { return {entry.eax, entry.ebx, entry.ecx, entry.edx}; }

inline CpuModel model_of_cpuid(const Vcpu& vcpu);

// Until KVM_SET_CPUID2 the guest has every supported feature.
inline void set_default_cpuid(Vcpu& vcpu);

// Sets the controls that depend on the guest's CPUID, and the CR4 bits that it may own.
inline Result<void> apply_cpu_model(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Updates the bits of a leaf that depend on the vCPU's state.  @control: CR4.
inline void follow_state(const Vcpu& vcpu, u64 control, u32 leaf, u32 subleaf, CpuidResult& r);

// CPUID as the guest executes it.
inline Result<CpuidResult> execute_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs, u32 leaf, u32 subleaf);

}  // namespace
