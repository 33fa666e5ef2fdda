// SPDX-License-Identifier: GPL-2.0
/*
 * A task that cannot leave a CPU that goes offline, and then uses a vCPU. The scheduler moves every other task away
 * before it runs again; this one's migration is disabled for a while, as by any lock of a PREEMPT_RT kernel.
 */
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "groups.h"
#include "../../src/test_hooks/exports.h"
#include "vregcache_test.h"

struct stay {
	struct vrc_test_stay request;
	struct file *vcpu;
	unsigned int cpu;
	int error;
};

/* The task stays runnable, so that code that waits for the tasks that run here waits for this one. */
static int stay_until(struct stay *stay, bool (*condition)(struct stay *stay))
{
	unsigned long deadline = jiffies + 10 * HZ;

	while (!condition(stay)) {
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		cpu_relax();
	}
	return 0;
}

static bool goes_offline(struct stay *stay)
{
	return !cpu_active(stay->cpu);
}

static void use(void *argument)
{
	struct stay *stay = argument;
	struct vrc_cache_use use = { .operation = VRC_CACHE_READ, .reg = stay->request.reg };

	vrc_test_use_cache(stay->vcpu, &use);
	stay->error = use.error;
	stay->request.value = use.value;
	stay->request.used_on = raw_smp_processor_id();
}

/* The caller holds the vCPU's mutex. */
static void stay_and_begin(void *argument)
{
	struct stay *stay = argument;
	unsigned long until;
	int error;

	migrate_disable();
	error = raw_smp_processor_id() == stay->cpu ? stay_until(stay, goes_offline) : -EAGAIN;
	/* Enough time for all that the CPU does before it waits for this task. */
	until = jiffies + msecs_to_jiffies(500);
	while (!error && time_before(jiffies, until)) {
		cond_resched();
		cpu_relax();
	}
	/* The task stays if nothing happens in between, and nothing is due now. */
	cond_resched();
	migrate_enable();
	stay->request.began_on = raw_smp_processor_id();
	if (!error)
		error = vrc_test_with_vmcs_too(stay->vcpu, use, stay);
	if (error)
		stay->error = error;
}

static int stay_with_vcpu(struct file *file, struct stay *stay)
{
	int error;

	stay->vcpu = file;
	error = vrc_test_with_lock(file, stay_and_begin, stay);
	return error ?: stay->error;
}

static long hotplug_ioctl(unsigned int command, void __user *argument)
{
	struct stay stay = {};
	long error;

	if (command != VRC_TEST_STAY)
		return -ENOTTY;
	if (copy_from_user(&stay.request, argument, sizeof(stay.request)))
		return -EFAULT;
	stay.cpu = stay.request.cpu;
	if (stay.cpu >= nr_cpu_ids)
		return -EINVAL;
	error = WITH_VCPU(stay.request.vcpu, stay_with_vcpu, &stay);
	if (!error && copy_to_user(argument, &stay.request, sizeof(stay.request)))
		error = -EFAULT;
	return error;
}

const struct vrc_test_group vrc_test_hotplug = {
	.ioctl = hotplug_ioctl,
};
