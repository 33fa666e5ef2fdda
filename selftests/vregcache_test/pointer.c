// SPDX-License-Identifier: GPL-2.0
/*
 * Beside KVM: compares the VMCS pointer of each CPU with KVM's record of it, in an interrupt that may come anywhere.
 *
 * The record is a variable of kvm_intel that no module may use; a kprobe finds the kernel's function that finds it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/asm.h>
#include <asm/irq_regs.h>

#include "groups.h"
#include "vregcache_test.h"

static DEFINE_MUTEX(lock);
static bool running;
/* KVM's, for each CPU: the virtual address of the VMCS that it believes to be current, or NULL. */
static void *__percpu *record;
static ktime_t period;
static DEFINE_PER_CPU(struct hrtimer, timer);
static DEFINE_PER_CPU(struct vrc_test_pointers, counts);

/* There KVM changes its record just before the pointer, with interrupts on. */
static unsigned long kvms_load;
#define KVMS_LOAD_BYTES 1024

static bool interrupted_kvms_load(void)
{
	const struct pt_regs *registers = get_irq_regs();

	return registers && kvms_load && registers->ip - kvms_load < KVMS_LOAD_BYTES;
}

static void compare(void)
{
	struct vrc_test_pointers *here = this_cpu_ptr(&counts);
	const void *believed = *this_cpu_ptr(record);
	u64 pointer = 1;

	/* It faults while the CPU is out of VMX operation, and leaves an odd address. */
	asm volatile("1: vmptrst %0\n2:\n" _ASM_EXTABLE(1b, 2b) : "+m"(pointer) : : "cc", "memory");
	if (pointer == 1)
		return;
	here->compared++;
	if (!believed) {
		here->others += pointer != ~0ULL;
		return;
	}
	here->kvms++;
	if (pointer == __pa(believed) || interrupted_kvms_load())
		return;
	if (!here->wrong++)
		pr_warn("CPU %d: the VMCS pointer is %#llx, but KVM believes in %#lx; interrupted at %pS\n",
			smp_processor_id(), pointer, __pa(believed),
			get_irq_regs() ? (void *)get_irq_regs()->ip : NULL);
}

static enum hrtimer_restart tick(struct hrtimer *it)
{
	compare();
	hrtimer_forward_now(it, period);
	return HRTIMER_RESTART;
}

static void start_timer(void *unused)
{
	hrtimer_start(this_cpu_ptr(&timer), period, HRTIMER_MODE_REL_PINNED_HARD);
}

static void prepare_timer(struct hrtimer *it)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	hrtimer_setup(it, tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
#else
	hrtimer_init(it, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	it->function = tick;
#endif
}

static int find_record(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long (*lookup)(const char *name);
	int error = register_kprobe(&probe);

	if (error)
		return error;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	record = (void *__percpu *)lookup("kvm_intel:current_vmcs");
	kvms_load = lookup("kvm_intel:vmx_vcpu_load_vmcs");
	return record ? 0 : -ENOENT;
}

static int begin_comparing(unsigned int period_us)
{
	int cpu, error;

	if (running || !period_us)
		return running ? -EBUSY : -EINVAL;
	error = find_record();
	if (error)
		return error;
	period = ns_to_ktime(period_us * 1000ULL);
	for_each_possible_cpu(cpu) {
		memset(per_cpu_ptr(&counts, cpu), 0, sizeof(struct vrc_test_pointers));
		prepare_timer(per_cpu_ptr(&timer, cpu));
	}
	on_each_cpu(start_timer, NULL, true);
	running = true;
	return 0;
}

static void stop_comparing(struct vrc_test_pointers *sum)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct vrc_test_pointers *here = per_cpu_ptr(&counts, cpu);

		hrtimer_cancel(per_cpu_ptr(&timer, cpu));
		sum->compared += here->compared;
		sum->kvms += here->kvms;
		sum->others += here->others;
		sum->wrong += here->wrong;
	}
	running = false;
}

static long pointer_ioctl(unsigned int command, void __user *argument)
{
	struct vrc_test_pointers result = {};
	__u32 period_us;
	long error = 0;

	switch (command) {
	case VRC_TEST_POINTERS_BEGIN:
		if (get_user(period_us, (__u32 __user *)argument))
			return -EFAULT;
		mutex_lock(&lock);
		error = begin_comparing(period_us);
		mutex_unlock(&lock);
		return error;
	case VRC_TEST_POINTERS_END:
		mutex_lock(&lock);
		if (running)
			stop_comparing(&result);
		else
			error = -EINVAL;
		mutex_unlock(&lock);
		return error ?: copy_to_user(argument, &result, sizeof(result)) ? -EFAULT : 0;
	default:
		return -ENOTTY;
	}
}

static void end(void)
{
	struct vrc_test_pointers unused = {};

	if (running)
		stop_comparing(&unused);
}

const struct vrc_test_group vrc_test_pointer = {
	.ioctl = pointer_ioctl,
	.end = end,
};
