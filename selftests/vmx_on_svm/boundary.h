/* SPDX-License-Identifier: GPL-2.0 */
/* Everything that crosses between the C glue (glue.c) and the C++ machine (vmx_on_svm.cc). */
#ifndef VMX_ON_SVM_BOUNDARY_H
#define VMX_ON_SVM_BOUNDARY_H

#ifdef __cplusplus
extern "C" {
#endif

struct vos_cpu;

/* Why a CPU cannot be taken over. */
enum vos_refusal {
	VOS_OK,
	VOS_VMX_PRESENT,	/* CPUID reports VMX already */
	VOS_NO_SVM,		/* no SVM, or the firmware disabled it */
	VOS_NO_NESTED_PAGING,	/* EPT needs it */
	VOS_SVM_IN_USE,		/* EFER.SVME is set: another hypervisor runs here */
};

/* What the machine takes from the kernel, the same on every CPU. */
struct vos_environment {
	unsigned long direct_map;	/* virtual address of physical address 0 */
	unsigned long apic_page;	/* virtual address of the local APIC's registers, for xAPIC mode */
	unsigned long kernel_page_table; /* virtual address of a top-level page table with the kernel half */
	int *use_count;			/* 0 when the module is going away; each CPU in VMX operation holds one */
	int vmwrite_any_field;		/* IA32_VMX_MISC bit 29 */
	unsigned long feature_control;	/* IA32_FEATURE_CONTROL, as firmware leaves it */
	unsigned long absent_secondary;	/* secondary processor-based controls that this CPU does not have */
	int vmxon_fails;
};

/* What one CPU has done since it was taken over. */
struct vos_statistics {
	unsigned long exits;
	unsigned long vmx_instructions;
	unsigned long entries;
	unsigned long nested_faults;
};

/* Called on the CPU in question, with interrupts disabled unless said otherwise. */
enum vos_refusal vos_probe(void);
unsigned long vos_cpu_bytes(void);
/* memory: vos_cpu_bytes() of zeroed, physically contiguous memory, aligned to its size; any context. */
struct vos_cpu *vos_prepare(void *memory, const struct vos_environment *environment);
void vos_launch(struct vos_cpu *cpu);
void vos_leave(struct vos_cpu *cpu);
int vos_in_vmx_operation(const struct vos_cpu *cpu);
void vos_get_statistics(const struct vos_cpu *cpu, struct vos_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
