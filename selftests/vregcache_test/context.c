// SPDX-License-Identifier: GPL-2.0
/*
 * Uses a vCPU's register cache in forbidden and in allowed contexts.
 *
 * Interruptions occur while this task holds the vCPU's mutex, and does not touch the cache itself: so nothing but the
 * rule is broken.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <asm/apic.h>
#include <asm/nmi.h>

#include "groups.h"
#include "../../src/test_hooks/exports.h"
#include "vregcache_test.h"

static_assert((int)VRC_TEST_READ == (int)VRC_CACHE_READ);
static_assert((int)VRC_TEST_WRITE_BACK == (int)VRC_CACHE_WRITE_BACK);
static_assert((int)VRC_TEST_WATCHING_CHANGED == (int)VRC_CACHE_WATCHING_CHANGED);
static_assert((int)VRC_TEST_OPERATIONS == (int)VRC_CACHE_OPERATIONS);

/* One request; there is only one at a time. */
struct attempt {
	struct file *vcpu;
	struct vrc_test_context request;
	struct vrc_cache_use use;
	struct irq_work irq_work;
	struct tasklet_struct tasklet;
	struct preempt_notifier notifier;
	struct completion done;
	unsigned int cpu; /* the target of the NMI */
	bool ended;
	int error;
};

static DEFINE_MUTEX(one_at_a_time);
/* For the NMI's handler, which gets no argument. */
static struct attempt *in_nmi_attempt;

static void use_cache(struct attempt *attempt)
{
	vrc_test_use_cache(attempt->vcpu, &attempt->use);
	WRITE_ONCE(attempt->ended, true);
}

/* Waits on this CPU, with interrupts on and without sleeping, until the attempt has ended. */
static void wait_for(struct attempt *attempt)
{
	unsigned int us;

	for (us = 0; us < 2000000 && !READ_ONCE(attempt->ended); us++)
		udelay(1);
	if (!READ_ONCE(attempt->ended))
		attempt->error = -ETIMEDOUT;
}

/* ---- interruptions of the task ---- */

static void in_irq_work(struct irq_work *work)
{
	use_cache(container_of(work, struct attempt, irq_work));
}

static void by_irq_work(struct attempt *attempt)
{
	attempt->irq_work = IRQ_WORK_INIT_HARD(in_irq_work);
	irq_work_queue(&attempt->irq_work);
	wait_for(attempt);
	irq_work_sync(&attempt->irq_work);
}

static void in_tasklet(struct tasklet_struct *tasklet)
{
	struct attempt *attempt = container_of(tasklet, struct attempt, tasklet);

	if (attempt->request.context != VRC_TEST_IRQ_OF_SOFTIRQ_IN_IRQ_WINDOW)
		return use_cache(attempt);
	attempt->irq_work = IRQ_WORK_INIT_HARD(in_irq_work);
	irq_work_queue(&attempt->irq_work);
	wait_for(attempt);
}

/* The tasklet runs here, when soft interrupts are on again. */
static void schedule_tasklet(struct attempt *attempt)
{
	tasklet_setup(&attempt->tasklet, in_tasklet);
	local_bh_disable();
	tasklet_schedule(&attempt->tasklet);
	local_bh_enable();
	wait_for(attempt);
}

static void by_tasklet(struct attempt *attempt)
{
	schedule_tasklet(attempt);
	tasklet_kill(&attempt->tasklet);
}

static int in_nmi_handler(unsigned int type, struct pt_regs *regs)
{
	struct attempt *attempt = READ_ONCE(in_nmi_attempt);

	if (!attempt || attempt->cpu != raw_smp_processor_id() || READ_ONCE(attempt->ended))
		return NMI_DONE;
	use_cache(attempt);
	return NMI_HANDLED;
}

static void by_nmi(struct attempt *attempt)
{
	unsigned int cpu;

	cpu = get_cpu();
	attempt->cpu = cpu;
	/* A handler that sees the attempt sees its CPU. */
	smp_store_release(&in_nmi_attempt, attempt);
	apic->send_IPI(cpu, NMI_VECTOR);
	put_cpu();
	wait_for(attempt);
	WRITE_ONCE(in_nmi_attempt, NULL);
}

/* ---- the scheduler ---- */

static void in_sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct attempt *attempt = container_of(notifier, struct attempt, notifier);

	if (attempt->request.context == VRC_TEST_IN_SCHED_IN && !attempt->ended)
		use_cache(attempt);
}

static void in_sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	struct attempt *attempt = container_of(notifier, struct attempt, notifier);

	if (attempt->request.context == VRC_TEST_IN_SCHED_OUT && !attempt->ended)
		use_cache(attempt);
}

static struct preempt_ops notifier_operations = {
	.sched_in = in_sched_in,
	.sched_out = in_sched_out,
};

static void by_scheduler(struct attempt *attempt)
{
	unsigned int sleeps;

	preempt_notifier_inc();
	preempt_notifier_init(&attempt->notifier, &notifier_operations);
	preempt_disable();
	preempt_notifier_register(&attempt->notifier);
	preempt_enable();
	/* On a slow machine the time may be over before the task has gone to sleep. */
	for (sleeps = 0; sleeps < 100 && !attempt->ended; sleeps++)
		usleep_range(1000, 2000);
	preempt_disable();
	preempt_notifier_unregister(&attempt->notifier);
	preempt_enable();
	preempt_notifier_dec();
	if (!attempt->ended)
		attempt->error = -ETIMEDOUT;
}

/* ---- tasks ---- */

static int thread(void *argument)
{
	struct attempt *attempt = argument;

	use_cache(attempt);
	complete(&attempt->done);
	return 0;
}

static void by_another_task(struct attempt *attempt)
{
	struct task_struct *task;

	init_completion(&attempt->done);
	task = kthread_run(thread, attempt, "vrc_test_foreign");
	if (IS_ERR(task)) {
		attempt->error = PTR_ERR(task);
		return;
	}
	wait_for_completion(&attempt->done);
}

static void with_preemption_off(struct attempt *attempt)
{
	preempt_disable();
	use_cache(attempt);
	preempt_enable();
}

static void with_interrupts_off(struct attempt *attempt)
{
	local_irq_disable();
	use_cache(attempt);
	local_irq_enable();
}

/* ---- while the interrupt that ended the guest's run is handled ---- */

/* As in the module: with interrupts off, and on only for the pending interrupt. */
static void in_window(struct attempt *attempt, bool nmi_window, bool nmi)
{
	preempt_disable();
	local_irq_disable();
	if (nmi) {
		vrc_test_begin_handling_intr(attempt->vcpu, nmi_window);
		by_nmi(attempt);
		vrc_test_end_handling_intr();
	} else {
		attempt->irq_work = IRQ_WORK_INIT_HARD(in_irq_work);
		irq_work_queue(&attempt->irq_work);
		vrc_test_begin_handling_intr(attempt->vcpu, nmi_window);
		local_irq_enable();
		wait_for(attempt);
		local_irq_disable();
		vrc_test_end_handling_intr();
	}
	local_irq_enable();
	preempt_enable();
	if (!nmi)
		irq_work_sync(&attempt->irq_work);
}

/* The soft interrupt that such an interrupt raises runs after it, but still as part of its handling. */
static void by_tasklet_in_window(struct attempt *attempt)
{
	preempt_disable();
	vrc_test_begin_handling_intr(attempt->vcpu, false);
	schedule_tasklet(attempt);
	vrc_test_end_handling_intr();
	preempt_enable();
	tasklet_kill(&attempt->tasklet);
	if (attempt->request.context == VRC_TEST_IRQ_OF_SOFTIRQ_IN_IRQ_WINDOW)
		irq_work_sync(&attempt->irq_work);
}

static void run_attempt(void *argument)
{
	struct attempt *attempt = argument;

	switch (attempt->request.context) {
	case VRC_TEST_IN_TASK:
	case VRC_TEST_UNLOCKED:
		return use_cache(attempt);
	case VRC_TEST_IN_HARDIRQ:
		return by_irq_work(attempt);
	case VRC_TEST_IN_SOFTIRQ:
		return by_tasklet(attempt);
	case VRC_TEST_IN_NMI:
		return by_nmi(attempt);
	case VRC_TEST_IN_SCHED_OUT:
	case VRC_TEST_IN_SCHED_IN:
		return by_scheduler(attempt);
	case VRC_TEST_IN_FOREIGN_TASK:
		return by_another_task(attempt);
	case VRC_TEST_PREEMPTION_OFF:
		return with_preemption_off(attempt);
	case VRC_TEST_INTERRUPTS_OFF:
		return with_interrupts_off(attempt);
	case VRC_TEST_IRQ_IN_IRQ_WINDOW:
		return in_window(attempt, false, false);
	case VRC_TEST_NMI_IN_NMI_WINDOW:
		return in_window(attempt, true, true);
	case VRC_TEST_IRQ_IN_NMI_WINDOW:
		return in_window(attempt, true, false);
	case VRC_TEST_NMI_IN_IRQ_WINDOW:
		return in_window(attempt, false, true);
	case VRC_TEST_SOFTIRQ_IN_IRQ_WINDOW:
	case VRC_TEST_IRQ_OF_SOFTIRQ_IN_IRQ_WINDOW:
		return by_tasklet_in_window(attempt);
	default:
		attempt->error = -EINVAL;
	}
}

static int start(struct file *vcpu, struct attempt *attempt)
{
	attempt->vcpu = vcpu;
	switch (attempt->request.context) {
	case VRC_TEST_IN_TASK:
	case VRC_TEST_UNLOCKED:
	case VRC_TEST_IN_NMI:
	case VRC_TEST_PREEMPTION_OFF:
		return vrc_test_with_vmcs(vcpu, attempt->request.context != VRC_TEST_UNLOCKED, run_attempt, attempt);
	default:
		/* These need interrupts on. */
		return vrc_test_with_lock(vcpu, run_attempt, attempt);
	}
}

static long use(void __user *argument)
{
	struct attempt *attempt = kzalloc(sizeof(*attempt), GFP_KERNEL);
	struct vrc_test_context *request;
	int error = -ENOMEM;

	if (!attempt)
		return error;
	error = -EFAULT;
	request = &attempt->request;
	if (copy_from_user(request, argument, sizeof(*request)))
		goto out;
	attempt->use.operation = request->operation;
	attempt->use.reg = request->reg;
	attempt->use.value = request->value;
	mutex_lock(&one_at_a_time);
	error = WITH_VCPU(request->vcpu, start, attempt);
	/* A late NMI may still be on its way. */
	if (attempt->error == -ETIMEDOUT)
		synchronize_rcu();
	mutex_unlock(&one_at_a_time);
	if (!error)
		error = attempt->error;
	if (error)
		goto out;
	request->value = attempt->use.value;
	request->error = attempt->use.error;
	if (copy_to_user(argument, request, sizeof(*request)))
		error = -EFAULT;
out:
	kfree(attempt);
	return error;
}

static long context_ioctl(unsigned int command, void __user *argument)
{
	return command == VRC_TEST_USE_CACHE ? use(argument) : -ENOTTY;
}

static int begin(void)
{
	return register_nmi_handler(NMI_LOCAL, in_nmi_handler, 0, "vregcache_test");
}

static void end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "vregcache_test");
}

const struct vrc_test_group vrc_test_contexts = {
	.ioctl = context_ioctl,
	.begin = begin,
	.end = end,
};
