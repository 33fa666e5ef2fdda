// SPDX-License-Identifier: GPL-2.0
/* Calls the host's handler of the interrupt or NMI that ended the guest's run, and records on the CPU that it runs. */
#include <linux/irqflags.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "guest_interrupt.h"
#include "objects.h"

DEFINE_PER_CPU(unsigned long, vrc_pmi_vcpu);

/*
 * The VM-exit has acknowledged the NMI and blocks further ones until an IRET.  INT 2 goes through the kernel's own NMI
 * entry, whose IRET ends the blocking.
 */
noinstr void vrc_host_handle_nmi(struct vrc_host_vcpu *vcpu)
{
	this_cpu_write(vrc_pmi_vcpu, (unsigned long)vcpu | VRC_PMI_NMI);
	asm volatile("int $2" : : : "memory");
	this_cpu_write(vrc_pmi_vcpu, 0);
}

/*
 * The interrupt has not been acknowledged: it is delivered when interrupts are on, which is after the instruction that
 * follows STI (SDM Vol. 2B, STI).  The return from the interrupt may want to preempt the task, which must not leave the
 * CPU before vrc_pmi_vcpu is cleared.
 *
 * If it is the timer tick, it has interrupted the guest and not the kernel: the time is accounted as guest time
 * (PF_VCPU).  The guest reads nothing that RCU protects, which the tick's handler cannot see while preemption is off.
 */
void vrc_host_take_interrupt(struct vrc_host_vcpu *vcpu)
{
	rcu_note_context_switch(false);
	preempt_disable();
	this_cpu_write(vrc_pmi_vcpu, (unsigned long)vcpu | VRC_PMI_IRQ);
	current->flags |= PF_VCPU;
	local_irq_enable();
	asm volatile("nop" : : : "memory");
	this_cpu_write(vrc_pmi_vcpu, 0);
	current->flags &= ~PF_VCPU;
	preempt_enable();
}
