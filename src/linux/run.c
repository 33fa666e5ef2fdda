// SPDX-License-Identifier: GPL-2.0
/* KVM_RUN's part in C: the scheduler's notifiers, and the task's other work. */
#include <linux/delay.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "context.h"
#include "fpu.h"
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

void vrc_host_run_enter(struct vrc_host_vcpu *vcpu)
{
	vrc_fpu_enter(vcpu);
	preempt_disable();
	preempt_notifier_register(&vcpu->notifier);
	preempt_enable();
}

void vrc_host_run_leave(struct vrc_host_vcpu *vcpu)
{
	preempt_disable();
	preempt_notifier_unregister(&vcpu->notifier);
	preempt_enable();
	vrc_fpu_leave(vcpu);
}

int vrc_host_leave_cpu(void)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	/* The task wakes up on another CPU. */
	usleep_range(100, 1000);
	return 0;
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

/*
 * Interrupts have been off since the check when the guest is entered: later work arrives by an interrupt, which ends
 * the guest's run.
 */
int vrc_host_run_begin(struct vrc_host_vcpu *vcpu)
{
	unsigned long flags = read_thread_flags();

	if (unlikely(flags & (SIGNAL_PENDING | NEED_RESCHED | TASK_WORK))) {
		if (flags & SIGNAL_PENDING)
			return -EINTR;
		return flags & TASK_WORK ? -EBUSY : -EAGAIN;
	}
	vrc_fpu_to_guest(vcpu, flags);
	return 0;
}
