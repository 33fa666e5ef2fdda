// SPDX-License-Identifier: GPL-2.0
/* Module entry, memory and CPU hotplug of vmx_on_svm; the machine itself is in machine.cc. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/reboot.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <asm/cpufeature.h>
#include <asm/fixmap.h>
#include <asm/io.h>
#include <asm/processor.h>
#include <asm/special_insns.h>

#include "boundary.h"

static bool vmwrite_any_field;
module_param(vmwrite_any_field, bool, 0444);
MODULE_PARM_DESC(vmwrite_any_field, "let VMWRITE write exit information too (IA32_VMX_MISC bit 29)");

static unsigned long feature_control = 0x5;
module_param(feature_control, ulong, 0444);
MODULE_PARM_DESC(feature_control, "IA32_FEATURE_CONTROL as firmware leaves it (default 5: locked, VMX enabled)");

static unsigned long absent_secondary;
module_param(absent_secondary, ulong, 0444);
MODULE_PARM_DESC(absent_secondary, "secondary processor-based VM-execution controls to do without (bit mask)");

static int vmxon_fails_on = -1;
module_param(vmxon_fails_on, int, 0444);
MODULE_PARM_DESC(vmxon_fails_on, "the number of a CPU whose VMXON fails (default: none)");

static DEFINE_PER_CPU(struct vos_cpu *, machine);
static DEFINE_PER_CPU(bool, launched);
static struct vos_environment environment;
static enum cpuhp_state hotplug_state;
static bool had_svm;

static const struct {
	int error;
	const char *text;
} refusals[] = {
	[VOS_OK] = { 0, "" },
	[VOS_VMX_PRESENT] = { -EEXIST, "the CPU has VMX already" },
	[VOS_NO_SVM] = { -ENODEV, "the CPU has no SVM, or it is disabled" },
	[VOS_NO_NESTED_PAGING] = { -ENODEV, "the CPU's SVM has no nested paging" },
	[VOS_SVM_IN_USE] = { -EBUSY, "SVM is in use: EFER.SVME is set" },
};

/* Code that asks the kernel's feature bits must find VMX, as code that asks CPUID does. */
static void show_vmx(struct cpuinfo_x86 *cpu, bool show)
{
	unsigned long *capability = (unsigned long *)cpu->x86_capability;

	if (show) {
		set_bit(X86_FEATURE_VMX, capability);
		set_bit(X86_FEATURE_MSR_IA32_FEAT_CTL, capability);
		clear_bit(X86_FEATURE_SVM, capability);
	} else {
		clear_bit(X86_FEATURE_VMX, capability);
		clear_bit(X86_FEATURE_MSR_IA32_FEAT_CTL, capability);
		if (had_svm)
			set_bit(X86_FEATURE_SVM, capability);
	}
}

/* On the CPU in question, with interrupts disabled. */
static void launch_this_cpu(void)
{
	vos_launch(this_cpu_read(machine));
	this_cpu_write(launched, true);
}

static void leave_this_cpu(void)
{
	if (!this_cpu_read(launched))
		return;
	vos_leave(this_cpu_read(machine));
	this_cpu_write(launched, false);
}

static int take_cpu(unsigned int number)
{
	unsigned long bytes = PAGE_ALIGN(vos_cpu_bytes());
	struct vos_environment described;
	struct vos_cpu *cpu;
	unsigned long flags;
	enum vos_refusal refusal;
	void *memory;

	local_irq_save(flags);
	refusal = vos_probe();
	local_irq_restore(flags);
	if (refusal != VOS_OK) {
		pr_err("CPU %u: %s\n", number, refusals[refusal].text);
		return refusals[refusal].error;
	}
	memory = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO);
	if (!memory)
		return -ENOMEM;
	described = environment;
	/* Of whatever process has it now: the kernel half is the same in all, and is copied at once. */
	described.kernel_page_table = (unsigned long)__va(read_cr3_pa());
	described.vmxon_fails = (int)number == vmxon_fails_on;
	cpu = vos_prepare(memory, &described);
	per_cpu(machine, number) = cpu;
	local_irq_save(flags);
	launch_this_cpu();
	local_irq_restore(flags);
	show_vmx(&cpu_data(number), true);
	/* A CPU that comes up takes from the common features what it does not have, and it has no VMX before this. */
	show_vmx(&boot_cpu_data, true);
	return 0;
}

static int release_cpu(unsigned int number)
{
	struct vos_cpu *cpu = per_cpu(machine, number);
	struct vos_statistics statistics;
	unsigned long flags;

	if (!cpu)
		return 0;
	if (per_cpu(launched, number) && vos_in_vmx_operation(cpu)) {
		pr_err("CPU %u is in VMX operation and cannot go offline\n", number);
		return -EBUSY;
	}
	local_irq_save(flags);
	leave_this_cpu();
	local_irq_restore(flags);
	per_cpu(machine, number) = NULL;
	show_vmx(&cpu_data(number), false);
	vos_get_statistics(cpu, &statistics);
	pr_info("CPU %u: %lu exits, %lu VMX instructions, %lu VM-entries, %lu nested page faults\n", number,
		statistics.exits, statistics.vmx_instructions, statistics.entries, statistics.nested_faults);
	free_pages_exact(cpu, PAGE_ALIGN(vos_cpu_bytes()));
	return 0;
}

/* Kbuild looks which form of the callbacks the kernel has. */
#ifdef VOS_SYSCORE_WITH_DATA
#define VOS_SYSCORE_PARAMETER void *unused
#else
#define VOS_SYSCORE_PARAMETER void
#endif

/*
 * Suspend: by now one CPU is online, with interrupts disabled, and whoever uses VMX has left it: what is registered
 * later is suspended earlier, and resumed later.
 */
static int suspend(VOS_SYSCORE_PARAMETER)
{
	const struct vos_cpu *cpu = this_cpu_read(machine);

	if (this_cpu_read(launched) && vos_in_vmx_operation(cpu)) {
		pr_err("CPU %u is in VMX operation and cannot be suspended\n", smp_processor_id());
		return -EBUSY;
	}
	leave_this_cpu();
	return 0;
}

static void resume(VOS_SYSCORE_PARAMETER)
{
	if (this_cpu_read(machine))
		launch_this_cpu();
}

#ifdef VOS_SYSCORE_WITH_DATA
static const struct syscore_ops syscore_callbacks = {
	.suspend = suspend,
	.resume = resume,
};

static struct syscore syscore = { .ops = &syscore_callbacks };
#else
static struct syscore_ops syscore = {
	.suspend = suspend,
	.resume = resume,
};

#define register_syscore register_syscore_ops
#define unregister_syscore unregister_syscore_ops
#endif

static void leave_for_reboot(void *unused)
{
	const struct vos_cpu *cpu = this_cpu_read(machine);

	if (this_cpu_read(launched) && vos_in_vmx_operation(cpu))
		pr_warn("CPU %u is in VMX operation, which ends here\n", smp_processor_id());
	leave_this_cpu();
}

/* The next kernel, if it comes by kexec, must find the machine as it was: nothing of the stub stays in memory then. */
static int on_reboot(struct notifier_block *block, unsigned long action, void *unused)
{
	on_each_cpu(leave_for_reboot, NULL, 1);
	return NOTIFY_OK;
}

/* After those who use VMX. */
static struct notifier_block reboot_block = {
	.notifier_call = on_reboot,
	.priority = INT_MIN,
};

static int __init vmx_on_svm_init(void)
{
	int ret;

	environment = (struct vos_environment) {
		.direct_map = PAGE_OFFSET,
		.apic_page = APIC_BASE,
		.use_count = &THIS_MODULE->refcnt.counter,
		.vmwrite_any_field = vmwrite_any_field,
		.feature_control = feature_control,
		.absent_secondary = absent_secondary,
	};
	had_svm = boot_cpu_has(X86_FEATURE_SVM);
	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "vmx_on_svm:online", take_cpu, release_cpu);
	if (ret < 0) {
		/* Some CPU may have been taken, and released; on one that has VMX already it stays shown. */
		if (ret != -EEXIST)
			show_vmx(&boot_cpu_data, false);
		return ret;
	}
	hotplug_state = ret;
	register_syscore(&syscore);
	register_reboot_notifier(&reboot_block);
	pr_info("%u CPUs have VMX now\n", num_online_cpus());
	return 0;
}

/* Each CPU in VMX operation holds a reference: there is none left here. */
static void __exit vmx_on_svm_exit(void)
{
	unregister_reboot_notifier(&reboot_block);
	unregister_syscore(&syscore);
	cpuhp_remove_state(hotplug_state);
	show_vmx(&boot_cpu_data, false);
}

module_init(vmx_on_svm_init);
module_exit(vmx_on_svm_exit);
MODULE_DESCRIPTION("Presents a VMX CPU on AMD's SVM (test only)");
MODULE_LICENSE("GPL");
