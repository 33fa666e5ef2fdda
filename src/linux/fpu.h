/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest's FPU registers.
 *
 * Up to Linux 6.18 the kernel has them in place of the task's while KVM_RUN lasts, as KVM does it.  Later kernels keep
 * these functions for KVM.  There the registers are the guest's only in a window, in which interrupts are off, so that
 * no other user of the FPU in the kernel can come in between.
 */
#ifndef VREGCACHE_LINUX_FPU_H
#define VREGCACHE_LINUX_FPU_H

#include <asm/fpu/api.h>

#include "compat.h"
#include "objects.h"

bool vrc_fpu_alloc(struct vrc_host_vcpu *vcpu);
void vrc_fpu_free(struct vrc_host_vcpu *vcpu);
/* The components that a guest's registers can have; bits of XCR0. */
u64 vrc_fpu_features(void);

#ifdef VRC_KERNEL_SWITCHES_GUEST_FPU

static inline void vrc_fpu_enter(struct vrc_host_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);
}

static inline void vrc_fpu_leave(struct vrc_host_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu, false);
}

/* Interrupts off.  @flags: of the thread. */
static inline void vrc_fpu_to_guest(struct vrc_host_vcpu *vcpu, unsigned long flags)
{
	/* The task has been preempted since vrc_fpu_enter(). */
	if (unlikely(flags & _TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

#else

static inline void vrc_fpu_enter(struct vrc_host_vcpu *vcpu)
{
}

static inline void vrc_fpu_leave(struct vrc_host_vcpu *vcpu)
{
}

void vrc_fpu_to_guest(struct vrc_host_vcpu *vcpu, unsigned long flags);

#endif

#endif
