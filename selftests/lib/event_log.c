// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "event_log.h"
#include "modes.h"

GUEST_BLOB(event_log64);

#define VECTORS		256
#define GATE_INTERRUPT	0x8eULL

void vcpu_install_event_log(struct vcpu *vcpu)
{
	uint64_t *idt = vm_at(vcpu->vm, GUEST_IDT);
	struct kvm_sregs sregs;
	unsigned int vector;

	vm_load(vcpu->vm, GUEST_EVENT_STUBS, event_log64);
	memset(vm_at(vcpu->vm, GUEST_EVENT_LOG), 0, GUEST_EVENT_END - GUEST_EVENT_LOG);
	vm_write64(vcpu->vm, EVENT_STOP, ~0UL);
	for (vector = 0; vector < VECTORS; vector++) {
		uint64_t address = GUEST_EVENT_STUBS + vector * EVENT_STUB_BYTES;

		idt[2 * vector] = (address & 0xffff) | (uint64_t)SEL_CODE64 << 16 | GATE_INTERRUPT << 40 |
				  (address >> 16) << 48;
		idt[2 * vector + 1] = 0;
	}
	vcpu_get_sregs(vcpu, &sregs);
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = 16 * VECTORS - 1;
	vcpu_set_sregs(vcpu, &sregs);
}

uint64_t event_count(struct vm *vm)
{
	return vm_read64(vm, EVENT_COUNT);
}

const struct event_record *event_at(struct vm *vm, unsigned int index)
{
	return (const struct event_record *)vm_at(vm, EVENT_RECORDS) + index;
}

uint64_t event_nmi_iret(void)
{
	return GUEST_EVENT_STUBS + (guest_event_log64_nmi_iret - guest_event_log64);
}
