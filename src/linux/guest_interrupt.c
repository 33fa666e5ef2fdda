// SPDX-License-Identifier: GPL-2.0
/* The host's handlers of what made a vCPU leave the guest, and the PMI window around them. */
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
 * The interrupt has not been acknowledged: it comes when interrupts are on, and that is behind the instruction that
 * follows STI (SDM Vol. 2B, STI). The task must not leave the CPU, which is what the interrupt's return may want,
 * before the window is closed.
 *
 * If it is the timer tick, it has interrupted the guest and not the kernel: the time is accounted as guest time
 * (PF_VCPU). The guest reads nothing that RCU protects, which the tick's handler cannot see while preemption is off.
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
