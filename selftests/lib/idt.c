// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "modes.h"

GUEST_BLOB(exc_stubs64);
GUEST_BLOB(exc_stubs32);

#define EXCEPTION_VECTORS	32
/* Each stub is padded to this many bytes, so that its address is known. */
#define STUB_BYTES		16
#define GATE_INTERRUPT		0x8e

static void set_idt(struct vcpu *vcpu, unsigned int gate_bytes)
{
	struct kvm_sregs sregs;

	memset(vm_at(vcpu->vm, GUEST_EXC_RECORD), 0, PAGE_BYTES);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = EXCEPTION_VECTORS * gate_bytes - 1;
	vcpu_set_sregs(vcpu, &sregs);
}

/* Offset 15:0, selector, type, offset 31:16: the same first 8 bytes in both gates. */
static uint64_t gate(unsigned int vector, uint16_t selector)
{
	uint64_t address = GUEST_EXC_STUBS + vector * STUB_BYTES;

	return (address & 0xffff) | (uint64_t)selector << 16 | (uint64_t)GATE_INTERRUPT << 40 |
	       (address >> 16) << 48;
}

void vcpu_install_idt64(struct vcpu *vcpu)
{
	uint64_t *idt = vm_at(vcpu->vm, GUEST_IDT);
	unsigned int vector;

	vm_load(vcpu->vm, GUEST_EXC_STUBS, exc_stubs64);
	for (vector = 0; vector < EXCEPTION_VECTORS; vector++) {
		idt[2 * vector] = gate(vector, SEL_CODE64);
		idt[2 * vector + 1] = 0;
	}
	set_idt(vcpu, 16);
}

void vcpu_install_idt32(struct vcpu *vcpu)
{
	uint64_t *idt = vm_at(vcpu->vm, GUEST_IDT);
	unsigned int vector;

	vm_load(vcpu->vm, GUEST_EXC_STUBS, exc_stubs32);
	for (vector = 0; vector < EXCEPTION_VECTORS; vector++)
		idt[vector] = gate(vector, SEL_CODE32);
	set_idt(vcpu, 8);
}
