/* SPDX-License-Identifier: GPL-2.0 */
/* Whether the host's handler of the interrupt or NMI that ended a guest's run is running on this CPU. */
#ifndef VREGCACHE_LINUX_GUEST_INTERRUPT_H
#define VREGCACHE_LINUX_GUEST_INTERRUPT_H

#include <linux/percpu.h>
#include <linux/preempt.h>

struct vrc_host_vcpu;

/*
 * While the NMI or interrupt that ended a guest's run is handled, the address of its vCPU, with the kind in bit 0;
 * otherwise 0.  No operation of the vCPU's register cache is in progress then, and its VMCS is the current one.
 */
DECLARE_PER_CPU(unsigned long, vrc_pmi_vcpu);
#define VRC_PMI_IRQ 0UL
#define VRC_PMI_NMI 1UL

/*
 * Whether the caller, an NMI handler or a handler of a hard interrupt, has interrupted this vCPU's guest.  False in a
 * soft interrupt that runs after the interrupt's handler, in an NMI that arrives meanwhile, and in code that interrupts
 * these.
 */
static __always_inline bool pmi_in_guest(const struct vrc_host_vcpu *vcpu)
{
	unsigned long window = raw_cpu_read(vrc_pmi_vcpu);

	if (window == ((unsigned long)vcpu | VRC_PMI_NMI))
		return in_nmi();
	return window == ((unsigned long)vcpu | VRC_PMI_IRQ) && in_hardirq() && !in_nmi() && !in_serving_softirq();
}

/* The vCPU whose guest the caller has interrupted, or NULL. */
static __always_inline struct vrc_host_vcpu *pmi_vcpu(void)
{
	unsigned long window = raw_cpu_read(vrc_pmi_vcpu);
	struct vrc_host_vcpu *vcpu = (struct vrc_host_vcpu *)(window & ~VRC_PMI_NMI);

	return vcpu && pmi_in_guest(vcpu) ? vcpu : NULL;
}

#endif
