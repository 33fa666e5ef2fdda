// SPDX-License-Identifier: GPL-2.0
/* Module entry, results in debugfs, and what needs exception tables or kernel headers. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <linux/vmalloc.h>
#include <asm/apic.h>
#include <asm/asm.h>
#include <asm/fixmap.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "boundary.h"

#define RESULT_BYTES (256 << 10)

static bool hold;
module_param(hold, bool, 0444);
MODULE_PARM_DESC(hold, "run no tests, but keep one CPU in VMX operation as long as the module is loaded");

static bool trace;
module_param(trace, bool, 0444);
MODULE_PARM_DESC(trace, "write the results to the kernel log at once, to see where a CPU hangs");

/* What debugfs shows. */
struct text {
	char *bytes;
	size_t used;
};

static struct text results, observations;
static struct dentry *directory;

static void append(struct text *text, const char *format, va_list arguments)
{
	char *end = text->bytes + text->used;

	text->used += vscnprintf(end, RESULT_BYTES - text->used, format, arguments);
	if (trace)
		pr_info("%s", end);
}

void vc_print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	append(&results, format, arguments);
	va_end(arguments);
}

void vc_observe(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	append(&observations, format, arguments);
	va_end(arguments);
}

/* The outcome in EAX; MOV leaves the flags alone. */
#define VMX_INSTRUCTION(instruction, ...)						\
({											\
	int outcome;									\
	asm volatile("1: " instruction "\n\t"						\
		     "mov $1, %%eax\n\t"						\
		     "jc 2f\n\t"							\
		     "mov $2, %%eax\n\t"						\
		     "jz 2f\n\t"							\
		     "mov $0, %%eax\n"							\
		     "2:\n\t"								\
		     _ASM_EXTABLE_FAULT(1b, 2b)						\
		     : "=&a" (outcome) : __VA_ARGS__ : "cc", "memory");			\
	outcome;									\
})

int vc_vmxon(unsigned long address)
{
	return VMX_INSTRUCTION("vmxon %1", "m" (address));
}

int vc_vmxoff(void)
{
	return VMX_INSTRUCTION("vmxoff", "i" (0));
}

int vc_vmclear(unsigned long address)
{
	return VMX_INSTRUCTION("vmclear %1", "m" (address));
}

int vc_vmptrld(unsigned long address)
{
	return VMX_INSTRUCTION("vmptrld %1", "m" (address));
}

int vc_vmptrst(unsigned long *pointer)
{
	return VMX_INSTRUCTION("vmptrst (%1)", "r" (pointer));
}

int vc_vmwrite(unsigned long field, unsigned long value)
{
	return VMX_INSTRUCTION("vmwrite %2, %1", "r" (field), "r" (value));
}

int vc_vmread(unsigned long field, unsigned long *value)
{
	unsigned long read = *value;
	int outcome;

	asm volatile("1: vmread %[field], %[read]\n\t"
		     "mov $1, %%eax\n\t"
		     "jc 2f\n\t"
		     "mov $2, %%eax\n\t"
		     "jz 2f\n\t"
		     "mov $0, %%eax\n"
		     "2:\n\t"
		     _ASM_EXTABLE_FAULT(1b, 2b)
		     : "=&a" (outcome), [read] "+&r" (read) : [field] "r" (field) : "cc");
	*value = read;
	return outcome;
}

int vc_vmread_memory(unsigned long field, unsigned long *pointer)
{
	return VMX_INSTRUCTION("vmread %1, (%2)", "r" (field), "r" (pointer));
}

int vc_vmcall(void)
{
	return VMX_INSTRUCTION("vmcall", "i" (0));
}

int vc_invept(unsigned long type, const void *descriptor)
{
	return VMX_INSTRUCTION("invept (%2), %1", "r" (type), "r" (descriptor));
}

int vc_invvpid(unsigned long type, const void *descriptor)
{
	return VMX_INSTRUCTION("invvpid (%2), %1", "r" (type), "r" (descriptor));
}

int vc_write_cr4(unsigned long value)
{
	int outcome;

	asm volatile("1: mov %1, %%cr4\n\t"
		     "xor %%eax, %%eax\n"
		     "2:\n\t"
		     _ASM_EXTABLE_FAULT(1b, 2b)
		     : "=&a" (outcome) : "r" (value) : "cc", "memory");
	return outcome;
}

int vc_rdmsr(unsigned int msr, unsigned long *value)
{
	unsigned long long read = 0;
	int error = rdmsrl_safe(msr, &read);

	*value = read;
	return error;
}

int vc_wrmsr(unsigned int msr, unsigned long value)
{
	return wrmsrl_safe(msr, value);
}

void vc_set_cr4_vmxe(int on)
{
	if (on)
		cr4_set_bits(X86_CR4_VMXE);
	else
		cr4_clear_bits(X86_CR4_VMXE);
}

unsigned long vc_physical(const void *pointer)
{
	return __pa(pointer);
}

/* The local APIC's registers, or 0 in x2APIC mode. */
unsigned long vc_local_apic(void)
{
	unsigned long long base;

	rdmsrl(MSR_IA32_APICBASE, base);
	return base & X2APIC_ENABLE ? 0 : APIC_BASE;
}

unsigned int vc_cpu_count(void)
{
	return num_online_cpus();
}

int vc_on_other_cpu(void (*function)(void *), void *argument)
{
	unsigned int this_cpu = smp_processor_id();
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		if (cpu == this_cpu)
			continue;
		local_irq_enable();
		smp_call_function_single(cpu, function, argument, 1);
		local_irq_disable();
		return 1;
	}
	return 0;
}

void vc_interrupts_on_and_off(void)
{
	local_irq_enable();
	asm volatile("nop; nop");
	local_irq_disable();
}

static int text_show(struct seq_file *file, void *unused)
{
	const struct text *text = file->private;

	seq_write(file, text->bytes, text->used);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(text);

static unsigned int holding_cpu;
static u32 *held_region;
static int hold_outcome;

static void begin_hold(void *unused)
{
	u64 basic;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	*held_region = basic;
	vc_set_cr4_vmxe(1);
	hold_outcome = vc_vmxon(__pa(held_region));
	if (hold_outcome)
		vc_set_cr4_vmxe(0);
}

static void end_hold(void *unused)
{
	vc_vmxoff();
	vc_set_cr4_vmxe(0);
}

static int __init hold_init(void)
{
	if (!(cpuid_ecx(1) & BIT(5)))
		return -ENODEV;
	held_region = (u32 *)get_zeroed_page(GFP_KERNEL);
	if (!held_region)
		return -ENOMEM;
	holding_cpu = cpumask_first(cpu_online_mask);
	smp_call_function_single(holding_cpu, begin_hold, NULL, 1);
	if (!hold_outcome)
		return 0;
	free_page((unsigned long)held_region);
	return -EIO;
}

static int __init vmx_client_init(void)
{
	size_t bytes = PAGE_ALIGN(vc_context_bytes());
	void *context;

	if (hold)
		return hold_init();
	results.bytes = vzalloc(RESULT_BYTES);
	observations.bytes = vzalloc(RESULT_BYTES);
	context = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO);
	if (!results.bytes || !observations.bytes || !context) {
		if (context)
			free_pages_exact(context, bytes);
		vfree(observations.bytes);
		vfree(results.bytes);
		return -ENOMEM;
	}
	preempt_disable();
	local_irq_disable();
	vc_run_tests(context);
	local_irq_enable();
	preempt_enable();
	free_pages_exact(context, bytes);
	directory = debugfs_create_dir("vmx_client", NULL);
	debugfs_create_file("results", 0444, directory, &results, &text_fops);
	debugfs_create_file("observations", 0444, directory, &observations, &text_fops);
	return 0;
}

static void __exit vmx_client_exit(void)
{
	if (hold) {
		smp_call_function_single(holding_cpu, end_hold, NULL, 1);
		free_page((unsigned long)held_region);
		return;
	}
	debugfs_remove_recursive(directory);
	vfree(observations.bytes);
	vfree(results.bytes);
}

module_init(vmx_client_init);
module_exit(vmx_client_exit);
MODULE_DESCRIPTION("Checks a VMX CPU against the SDM (test only)");
MODULE_LICENSE("GPL");
