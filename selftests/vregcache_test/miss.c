// SPDX-License-Identifier: GPL-2.0
/*
 * NMIs within a miss: at each instruction after a VMREAD a kprobe sends its CPU an NMI and waits for it. The NMI's
 * handler reads only the cache's memory.
 */
#include <linux/irqflags.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <asm/apic.h>
#include <asm/nmi.h>

#include "groups.h"
#include "../../src/linux/compat.h"
#include "../../src/test_hooks/exports.h"
#include "vregcache_test.h"

static DEFINE_MUTEX(lock);

#define INSTRUCTIONS 160

static struct {
	struct vrc_test_miss request;
	struct file *file;
	struct vrc_host_vcpu *vcpu;
	struct task_struct *task;
	struct kprobe *probes; /* while they are registered */
	unsigned long vmread;
	unsigned long at; /* the next instruction */
	bool awaited;
} now;

/* ---- at each instruction ---- */

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	struct vrc_test_miss *to = &now.request;
	struct vrc_raw_register found;

	if (!READ_ONCE(now.awaited) || raw_smp_processor_id() != task_cpu(now.task))
		return NMI_DONE;
	vrc_test_raw_register(now.vcpu, to->number, &found);
	to->nmis++;
	if (!found.possible || (found.available ? found.value != to->fresh : found.dirty || found.fast_path)) {
		if (!to->wrong++)
			to->wrong_offset = now.at - now.vmread;
	} else if (found.available) {
		to->fresh_available++;
	} else if (found.value == to->fresh) {
		to->fresh_unavailable++;
	} else if (found.value == to->stale) {
		to->stale_unavailable++;
	}
	WRITE_ONCE(now.awaited, false);
	return NMI_HANDLED;
}

/* To the CPU itself; the shorthand for that does not allow NMIs (SDM Vol. 3A, table 11-3). */
static void send_nmi(void)
{
	unsigned long flags;
	u64 base;

	rdmsrq(MSR_IA32_APICBASE, base);
	local_irq_save(flags);
	if (base & X2APIC_ENABLE) {
		u64 id;

		rdmsrq(APIC_BASE_MSR + (APIC_ID >> 4), id);
		wrmsrq(APIC_BASE_MSR + (APIC_ICR >> 4), id << 32 | APIC_DM_NMI);
	} else {
		while (native_apic_mem_read(APIC_ICR) & APIC_ICR_BUSY)
			cpu_relax();
		native_apic_mem_write(APIC_ICR2, native_apic_mem_read(APIC_ID));
		native_apic_mem_write(APIC_ICR, APIC_DM_NMI);
	}
	local_irq_restore(flags);
}

static int at_instruction(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int tries = 1000000;

	if (current != now.task)
		return 0;
	now.request.stops++;
	now.at = regs->ip;
	WRITE_ONCE(now.awaited, true);
	send_nmi();
	while (READ_ONCE(now.awaited) && tries--)
		cpu_relax();
	WRITE_ONCE(now.awaited, false);
	return 0;
}

NOKPROBE_SYMBOL(at_instruction);

/* ---- the instructions ---- */

/* Finds the first instruction of a function, and its length. */
static int find_function(const char *name, unsigned long *begin, unsigned long *length)
{
	struct kprobe probe = { .symbol_name = name };
	char text[KSYM_SYMBOL_LEN];
	unsigned long offset;
	const char *plus;
	int error = register_kprobe(&probe);

	if (error)
		return error;
	*begin = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	/* NAME+OFFSET/LENGTH [MODULE]; a probe may be after ENDBR. */
	sprint_symbol(text, *begin);
	plus = strrchr(text, '+');
	if (!plus || sscanf(plus, "+0x%lx/0x%lx", &offset, length) != 2)
		return -ENOENT;
	*begin -= offset;
	return 0;
}

static void remove_probes(void)
{
	while (now.request.instructions)
		unregister_kprobe(&now.probes[--now.request.instructions]);
	kfree(now.probes);
	now.probes = NULL;
}

/* At each instruction; register_kprobe() finds out which addresses are instructions. */
static int place_probes(void)
{
	unsigned long begin, length, at;
	int error = find_function(now.request.function, &begin, &length);

	if (error)
		return error;
	for (at = begin; at + 1 < begin + length; at++) {
		/* VMREAD (SDM Vol. 3D, 31.3). */
		if (((u8 *)at)[0] == 0x0f && ((u8 *)at)[1] == 0x78)
			break;
	}
	if (at + 1 >= begin + length)
		return -ENODATA;
	now.vmread = at;
	now.probes = kcalloc(INSTRUCTIONS, sizeof(*now.probes), GFP_KERNEL);
	if (!now.probes)
		return -ENOMEM;
	for (at++; at < begin + length && now.request.instructions < INSTRUCTIONS; at++) {
		struct kprobe *probe = &now.probes[now.request.instructions];

		memset(probe, 0, sizeof(*probe));
		probe->addr = (kprobe_opcode_t *)at;
		probe->pre_handler = at_instruction;
		if (!register_kprobe(probe))
			now.request.instructions++;
	}
	return now.request.instructions ? 0 : -EINVAL;
}

/* ---- ioctls ---- */

/* Without probes, nothing reads the current request. */
static void clear_request(void)
{
	unregister_nmi_handler(NMI_LOCAL, "vregcache_test_miss");
	fput(now.file);
	memset(&now, 0, sizeof(now));
}

static int begin(const void __user *argument)
{
	int error;

	if (now.file)
		return -EBUSY;
	if (copy_from_user(&now.request, argument, sizeof(now.request)))
		return -EFAULT;
	now.request.function[sizeof(now.request.function) - 1] = 0;
	memset((u8 *)&now.request + offsetof(struct vrc_test_miss, instructions), 0,
	       sizeof(now.request) - offsetof(struct vrc_test_miss, instructions));
	now.file = fget(now.request.vcpu);
	if (!now.file)
		return -EBADF;
	now.task = current;
	error = register_nmi_handler(NMI_LOCAL, on_nmi, 0, "vregcache_test_miss");
	if (error) {
		fput(now.file);
		memset(&now, 0, sizeof(now));
		return error;
	}
	error = vrc_test_vcpu(now.file, &now.vcpu);
	if (!error)
		error = place_probes();
	if (error) {
		remove_probes();
		clear_request();
	}
	return error;
}

static int end(void __user *argument)
{
	u32 instructions = now.request.instructions;
	struct vrc_test_miss answer;

	if (!now.file)
		return -EINVAL;
	remove_probes();
	answer = now.request;
	answer.instructions = instructions;
	clear_request();
	return copy_to_user(argument, &answer, sizeof(answer)) ? -EFAULT : 0;
}

static long miss_ioctl(unsigned int command, void __user *argument)
{
	long error = -ENOTTY;

	mutex_lock(&lock);
	if (command == VRC_TEST_MISS_BEGIN)
		error = begin(argument);
	else if (command == VRC_TEST_MISS_END)
		error = end(argument);
	mutex_unlock(&lock);
	return error;
}

/* The task that began may not have ended the request. */
static void end_miss(void)
{
	if (!now.file)
		return;
	remove_probes();
	clear_request();
}

const struct vrc_test_group vrc_test_miss = {
	.ioctl = miss_ioctl,
	.end = end_miss,
};
