/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CODEGEN_KVM_WAY_H
#define CODEGEN_KVM_WAY_H

#include <linux/types.h>
#include <asm/asm.h>

struct kvm_way_vcpu;

void codegen_kvm_way_failed(unsigned long field);
void codegen_kvm_way_cache(struct kvm_way_vcpu *vcpu, int reg);
unsigned long codegen_kvm_way_rflags(struct kvm_way_vcpu *vcpu);
unsigned long codegen_kvm_way_segment_base(struct kvm_way_vcpu *vcpu, int segment);
unsigned long codegen_kvm_way_read_rip(struct kvm_way_vcpu *vcpu);
unsigned long codegen_kvm_way_read_rflags(struct kvm_way_vcpu *vcpu);
unsigned long codegen_kvm_way_read_cs_base(struct kvm_way_vcpu *vcpu);

static __always_inline unsigned long way_vmread(unsigned long field)
{
	unsigned long value;

	/* A fault is handled like a failure, as in src/vmx/instructions.h. */
	asm goto("0: vmread %q1, %0; jbe %l[failed]\n"
		 _ASM_EXTABLE(0b, %l[failed])
		 : "=r" (value) : "r" (field) : "cc" : failed);
	return value;
failed:
	codegen_kvm_way_failed(field);
	return 0;
}

#endif /* CODEGEN_KVM_WAY_H */
