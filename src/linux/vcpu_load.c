// SPDX-License-Identifier: GPL-2.0
/* A vCPU on a CPU: the scheduler's notifiers, and the FPU. */
#include <linux/delay.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/tlbflush.h>

#include "compat.h"
#include "context.h"
#include "objects.h"

static void sched_in(struct preempt_notifier *notifier, int cpu)
{
	vrc_scheduler_enter();
	vrc_vcpu_sched_in(container_of(notifier, struct vrc_host_vcpu, notifier)->machine);
	vrc_scheduler_leave();
}

static void sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	vrc_scheduler_enter();
	vrc_vcpu_sched_out(container_of(notifier, struct vrc_host_vcpu, notifier)->machine);
	vrc_scheduler_leave();
}

static struct preempt_ops notifier_operations = {
	.sched_in = sched_in,
	.sched_out = sched_out,
};

void vrc_notifier_init(struct vrc_host_vcpu *vcpu)
{
	preempt_notifier_init(&vcpu->notifier, &notifier_operations);
}

vrc_bool vrc_host_notify_begin(struct vrc_host_vcpu *vcpu, const void **task)
{
	WRITE_ONCE(*task, current);
	preempt_disable();
	preempt_notifier_register(&vcpu->notifier);
	if (unlikely(this_cpu_read(vrc_current_vmcs) != vcpu->vmcs))
		return false;
	preempt_enable();
	return true;
}

void vrc_host_notify_end(struct vrc_host_vcpu *vcpu)
{
	preempt_disable();
	preempt_notifier_unregister(&vcpu->notifier);
	preempt_enable();
}

void vrc_host_preempt_enable(void)
{
	preempt_enable();
}

int vrc_host_leave_cpu(void)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	/* The task wakes up on another CPU. */
	usleep_range(100, 1000);
	return 0;
}

void vrc_host_fpu_enter(struct vrc_host_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);
}

void vrc_host_fpu_leave(struct vrc_host_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu, false);
}

#ifdef _TIF_NEED_RESCHED_LAZY
#define NEED_RESCHED (_TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY)
#else
#define NEED_RESCHED _TIF_NEED_RESCHED
#endif
#define SIGNAL_PENDING (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL)
#define TASK_WORK (XFER_TO_GUEST_MODE_WORK & ~(NEED_RESCHED | SIGNAL_PENDING))

/* In a preemptible kernel cond_resched() does nothing, and a lazy flag waits for the tick. */
void vrc_host_reschedule(void)
{
	if (read_thread_flags() & NEED_RESCHED)
		schedule();
}

int vrc_host_do_task_work(struct vrc_host_vcpu *vcpu)
{
	return vrc_compat_do_task_work(vcpu->work);
}

static __cold long refuse_entry(unsigned long flags)
{
	local_irq_enable();
	if (flags & SIGNAL_PENDING)
		return -EINTR;
	return flags & TASK_WORK ? -EBUSY : -EAGAIN;
}

/* The last check is with interrupts off: later work arrives by an interrupt, which ends the guest's run. */
long vrc_host_entry_begin(void)
{
	unsigned long flags;

	local_irq_disable();
	flags = read_thread_flags();
	if (unlikely(flags & (SIGNAL_PENDING | NEED_RESCHED | TASK_WORK | _TIF_NEED_FPU_LOAD))) {
		if (flags & (SIGNAL_PENDING | NEED_RESCHED | TASK_WORK))
			return refuse_entry(flags);
		/* The task has been preempted since vrc_host_fpu_enter(). */
		switch_fpu_return();
	}
	return cr4_read_shadow();
}

void vrc_host_entry_end(void)
{
	local_irq_enable();
}

void *vrc_host_fpu_image(struct vrc_host_vcpu *vcpu)
{
	return &vcpu->fpu.fpstate->regs.fxsave;
}

vrc_u64 vrc_host_fpu_components(struct vrc_host_vcpu *vcpu, vrc_bool *compacted)
{
	const struct xstate_header *header = &vcpu->fpu.fpstate->regs.xsave.header;

	*compacted = false;
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return XFEATURE_MASK_FPSSE;
	*compacted = header->xcomp_bv >> 63;
	return header->xfeatures;
}

void vrc_host_fpu_image_changed(struct vrc_host_vcpu *vcpu)
{
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		vcpu->fpu.fpstate->regs.xsave.header.xfeatures |= XFEATURE_MASK_FPSSE;
}
