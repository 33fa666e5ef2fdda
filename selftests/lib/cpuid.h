/* SPDX-License-Identifier: GPL-2.0 */
/* The CPUID entries of the device and of a vCPU. */
#ifndef SELFTESTS_LIB_CPUID_H
#define SELFTESTS_LIB_CPUID_H

#include "vm.h"

#define MAX_CPUID_ENTRIES 256

/* KVM_GET_SUPPORTED_CPUID. To be freed by the caller. */
struct kvm_cpuid2 *cpuid_supported(int dev);
/* KVM_GET_CPUID2. To be freed by the caller. */
struct kvm_cpuid2 *cpuid_of_vcpu(struct vcpu *vcpu);
/* NULL if there is none. */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index);

/* 1 if the vCPU's CPUID offers it. */
int vcpu_has_rdtscp(struct vcpu *vcpu);
int vcpu_has_xsave(struct vcpu *vcpu);
int vcpu_has_avx(struct vcpu *vcpu);
int vcpu_has_pku(struct vcpu *vcpu);
int vcpu_has_fsgsbase(struct vcpu *vcpu);
int vcpu_has_xsaves(struct vcpu *vcpu);
int vcpu_has_la57(struct vcpu *vcpu);

#endif /* SELFTESTS_LIB_CPUID_H */
