// SPDX-License-Identifier: GPL-2.0
/*
 * The context rule: a vCPU's register cache is for the task that holds the vCPU's mutex, in task context with
 * preemption on; and, while the interrupt or NMI that ended the guest's run is handled, for its handler
 * (guest_interrupt.h).
 *
 * Each violation is counted and traced.  The first of each kind is reported with a WARN, and so is the first after
 * debugfs clear_warn_once was written.  The operation on the cache continues.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/bitops.h>
#include <linux/irq_work.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "compat.h"
#include "context.h"
#include "faults.h"
#include "guest_interrupt.h"
#include "hit_observation.h"
#include "names.h"
#include "objects.h"

DEFINE_STATIC_KEY_FALSE(vrc_check_context_key);
static struct vrc_watch check_context = { .bit = VRC_WATCH_CONTEXT, .key = &vrc_check_context_key };
module_param_cb(check_context, &vrc_watch_parameter, &check_context, 0644);
__MODULE_PARM_TYPE(check_context, "bool");
MODULE_PARM_DESC(check_context, "check the calling context at each use of a vCPU's register cache (default: no; with lockdep, always); accesses to cached registers are checked from the vCPU's next ioctl or VM-exit on");

#ifndef CONFIG_PREEMPT_COUNT
DEFINE_PER_CPU(bool, vrc_scheduler_calls);
#endif

#define NAME_OF(number, name, ...)		\
	[number] = #name
#define REGISTER_NAME(number, mask, name, reg)	\
	[number] = #name
static const char *const operations[] = { VRC_OPERATIONS(NAME_OF) };
static const char *const registers[] = { VRC_REGISTERS(REGISTER_NAME) };

struct violation {
	enum vrc_fault kind;
	const struct vrc_host_vcpu *vcpu; /* not for a delayed report: it may be gone */
	u32 id;				  /* its number */
	u32 operation;
	u32 reg;
	const void *site;   /* where the cache was used */
	const void *caller; /* of the function that the site is in */
	/* The context, for a delayed report. */
	int preempt_count;
	char task[TASK_COMM_LEN];
	pid_t pid;
	unsigned int cpu;
};

/* Checked in this order, from the most to the least restrictive context. */
static enum vrc_fault find_fault(const struct vrc_host_vcpu *vcpu)
{
	if (!pmi_in_guest(vcpu)) {
		if (in_nmi())
			return VRC_FAULT_NMI;
		if (in_hardirq())
			return VRC_FAULT_HARDIRQ;
		if (in_serving_softirq())
			return VRC_FAULT_SOFTIRQ;
		if (vrc_in_scheduler())
			return VRC_FAULT_SCHEDULER;
	}
#ifdef CONFIG_LOCKDEP
	if (lockdep_is_held(&vcpu->lock) != LOCK_STATE_NOT_HELD)
		return VRC_NO_FAULT;
#else
	if (vrc_compat_mutex_owner(&vcpu->lock) == current)
		return VRC_NO_FAULT;
#endif
	return vrc_compat_mutex_owner(&vcpu->lock) ? VRC_FAULT_FOREIGN_TASK : VRC_FAULT_UNLOCKED;
}

static void print_line(const struct violation *it, const char *context, const char *advice)
{
	pr_warn("vCPU %u: %s%s%s %s: task %s, pid %d, CPU %u, at %pS called from %pS; %s\n", it->id,
		operations[it->operation], it->reg < ARRAY_SIZE(registers) ? " of " : "",
		it->reg < ARRAY_SIZE(registers) ? registers[it->reg] : "", context, it->task, it->pid, it->cpu,
		it->site, it->caller, advice);
}

/*
 * With lockdep the assertion is lockdep's, which is disabled after any other lockdep report; without it, the functions
 * are called only after a violation was found.
 */
#ifdef CONFIG_LOCKDEP
#define REPORTS_ENABLED debug_locks
#define WARN_VIOLATION(assertion) assertion
#else
#define REPORTS_ENABLED true
#define WARN_VIOLATION(assertion) WARN_ON_ONCE(1)
#endif

/* A function for each kind; the WARN shows its name. */
#define VIOLATION(name, assertion, context, advice)						\
	static noinline __noclone void vrc_context_##name(const struct violation *it)		\
	{											\
		if (!REPORTS_ENABLED || !VRC_WARN_IS_NEW())						\
			return;									\
		print_line(it, context, advice);						\
		WARN_VIOLATION(assertion);								\
	}

VIOLATION(nmi, lockdep_assert_once(in_task() || pmi_in_guest(it->vcpu)), "in an NMI",
	  "only the handler of the NMI that caused the VM-exit may use the cache; else use it in the vCPU's task")
VIOLATION(hardirq, lockdep_assert_once(in_task() || pmi_in_guest(it->vcpu)), "in a hard interrupt",
	  "only the handler of the interrupt that ended the guest's run may use it; else use it in the vCPU's task")
VIOLATION(softirq, lockdep_assert_once(in_task() || pmi_in_guest(it->vcpu)), "in a soft interrupt",
	  "use the cache in the vCPU's task instead, for example in its next ioctl")
VIOLATION(scheduler, lockdep_assert_once(!it->preempt_count), "in a scheduler callback or with preemption disabled",
	  "use the cache before preemption is disabled; keep values that a preempt notifier needs elsewhere")
VIOLATION(foreign_task, lockdep_assert_held_once(&it->vcpu->lock), "while another task holds the vCPU's mutex",
	  "take the mutex first, or use the cache in the task that holds it")
VIOLATION(unlocked, lockdep_assert_held_once(&it->vcpu->lock), "without the vCPU's mutex", "take the mutex first")

static void report(const struct violation *it)
{
	switch (it->kind) {
	case VRC_FAULT_NMI:
		return vrc_context_nmi(it);
	case VRC_FAULT_HARDIRQ:
		return vrc_context_hardirq(it);
	case VRC_FAULT_SOFTIRQ:
		return vrc_context_softirq(it);
	case VRC_FAULT_SCHEDULER:
		return vrc_context_scheduler(it);
	case VRC_FAULT_FOREIGN_TASK:
		return vrc_context_foreign_task(it);
	default:
		return vrc_context_unlocked(it);
	}
}

/* A bit for each kind that is being reported: other CPUs, and code that interrupts the report, skip it. */
static unsigned long reporting;

/* Delayed reports, one of each kind; its bit above is its lock. */
static struct violation delayed[VRC_FAULTS];
static unsigned long delayed_kinds;

static void report_delayed(struct irq_work *work)
{
	unsigned int kind;

	for (kind = 0; kind < VRC_FAULTS; kind++) {
		if (!test_and_clear_bit(kind, &delayed_kinds))
			continue;
		report(&delayed[kind]);
		clear_bit_unlock(kind, &reporting);
	}
}

static struct irq_work report_work = IRQ_WORK_INIT_HARD(report_delayed);

void vrc_context_end(void)
{
	irq_work_sync(&report_work);
}

/*
 * The sched_out notifier runs under the lock of the CPU's run queue, which printing to a console may need.  If the
 * kernel does not count preemption, the violation may look like another kind.
 */
static bool may_hold_run_queue(enum vrc_fault kind)
{
	if (!irqs_disabled() || in_nmi() || in_hardirq())
		return false;
	return kind == VRC_FAULT_SCHEDULER || !(IS_ENABLED(CONFIG_PREEMPT_COUNT) || IS_ENABLED(CONFIG_LOCKDEP));
}

static noinline void handle_violation(struct violation *it)
{
	vrc_count_fault(it->kind);
	vrc_trace_context_violation(it->vcpu->id, it->kind, it->operation, it->reg, it->site);
	if (test_and_set_bit_lock(it->kind, &reporting))
		return;
	it->preempt_count = max(preempt_count(), 1);
	strscpy(it->task, current->comm, sizeof(it->task));
	it->pid = task_pid_nr(current);
	it->cpu = raw_smp_processor_id();
	/* From an interrupt, as soon as interrupts are on again. */
	if (may_hold_run_queue(it->kind)) {
		delayed[it->kind] = *it;
		set_bit(it->kind, &delayed_kinds);
		irq_work_queue(&report_work);
		return;
	}
	report(it);
	clear_bit_unlock(it->kind, &reporting);
}

void vrc_check_context(const struct vrc_host_vcpu *vcpu, vrc_u32 what, const void *caller)
{
	struct violation it;

	it.kind = find_fault(vcpu);
	if (likely(it.kind == VRC_NO_FAULT))
		return;
	it.vcpu = vcpu;
	it.id = vcpu->id;
	it.operation = VRC_CONTEXT_OPERATION(what);
	it.reg = VRC_CONTEXT_REGISTER(what);
	it.site = __builtin_return_address(0);
	it.caller = caller;
	handle_violation(&it);
}
