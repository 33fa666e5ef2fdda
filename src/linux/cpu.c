// SPDX-License-Identifier: GPL-2.0
/* Processors: VMX operation on each, interrupts, the scheduler, and facts about this CPU. */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <asm/cpu.h>
#include <asm/cpufeature.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/mce.h>
#include <asm/mmu_context.h>
#include <asm/nospec-branch.h>
#include <asm/tlbflush.h>

#include "compat.h"
#include "objects.h"

/* The VMCS that is current on this CPU; the C++ part reads and writes it by name. */
DEFINE_PER_CPU(vrc_u64, vrc_current_vmcs) = VRC_NO_CURRENT_VMCS;

static enum cpuhp_state hotplug_state;

/* ---- CPU hotplug ---- */

/* A reboot has begun; changed while CPU hotplug is locked. */
static bool leaving;

static int cpu_up(unsigned int cpu)
{
	unsigned long flags;
	int error = 0;

	local_irq_save(flags);
	if (leaving)
		vrc_cpu_give_up();
	else
		error = vrc_cpu_enable();
	local_irq_restore(flags);
	return error;
}

/*
 * The scheduler gives the CPU no new tasks any more, and moves each remaining one when it is about to run.  A task that
 * is using a vCPU may still run here, so VMX operation lasts until there is none.
 */
static int cpu_down(unsigned int cpu)
{
	const unsigned long deadline = jiffies + 10 * HZ;
	unsigned long flags;
	bool busy;

	for (;;) {
		local_irq_save(flags);
		busy = vrc_cpu_is_busy() && time_before(jiffies, deadline);
		if (!busy)
			vrc_cpu_disable();
		local_irq_restore(flags);
		if (!busy)
			return 0;
		usleep_range(100, 1000);
	}
}

vrc_bool vrc_host_task_may_run_here(const void *task)
{
	const struct task_struct *p = task;

	return (READ_ONCE(p->on_rq) || READ_ONCE(p->on_cpu)) && task_cpu(p) == smp_processor_id();
}

/* ---- suspend and resume: the other CPUs go down before and come up after, and interrupts are off on this one ---- */

static int suspend(VRC_SYSCORE_PARAMETER)
{
	vrc_cpu_disable();
	return 0;
}

static void resume(VRC_SYSCORE_PARAMETER)
{
	if (vrc_cpu_enable())
		vrc_cpu_give_up();
}

VRC_SYSCORE(syscore, suspend, resume);

/* ---- reboot, power off, and kexec, which starts a kernel that finds the CPUs as this one leaves them ---- */

static void give_up(void *unused)
{
	vrc_cpu_give_up();
}

static int leave_for_reboot(struct notifier_block *block, unsigned long code, void *unused)
{
	cpus_read_lock();
	leaving = true;
	on_each_cpu(give_up, NULL, true);
	cpus_read_unlock();
	vrc_host_info("VMX is off on every CPU for the reboot");
	return NOTIFY_OK;
}

static struct notifier_block reboot_notifier = { .notifier_call = leave_for_reboot };

/* ---- start and end of the module ---- */

/* On every CPU that is up or comes up; a failure undoes the CPUs that were done. */
int vrc_cpus_start(void)
{
	int state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "virt/vregcache:online", cpu_up, cpu_down);

	if (state < 0)
		return state;
	hotplug_state = state;
	vrc_compat_register_syscore(&syscore);
	register_reboot_notifier(&reboot_notifier);
	return 0;
}

void vrc_cpus_stop(void)
{
	unregister_reboot_notifier(&reboot_notifier);
	vrc_compat_unregister_syscore(&syscore);
	cpuhp_remove_state(hotplug_state);
}

/* ---- CPUs and interrupts ---- */

unsigned int vrc_host_cpu_limit(void)
{
	return nr_cpu_ids;
}

unsigned int vrc_host_cpu(void)
{
	return raw_smp_processor_id();
}

unsigned long vrc_host_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

void vrc_host_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}

void vrc_host_on_cpu(unsigned int cpu, void (*function)(void *), void *argument)
{
	/* A CPU that is down has already cleared its VMCSs. */
	smp_call_function_single(cpu, function, argument, true);
}

void vrc_host_on_each_cpu(void (*function)(void *), void *argument)
{
	on_each_cpu(function, argument, true);
}

void vrc_host_set_cr4_vmxe(vrc_bool on)
{
	if (on)
		cr4_set_bits(X86_CR4_VMXE);
	else
		cr4_clear_bits(X86_CR4_VMXE);
}

void vrc_host_prediction_barrier(void)
{
	indirect_branch_prediction_barrier();
}

/* ---- events that the guest caused ---- */

/*
 * The CPU was in the guest, whose memory belongs to a user process: the handler, which checks the privilege level, must
 * not take the error for one of the kernel's own.
 */
void vrc_host_handle_machine_check(void)
{
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
#endif
}

vrc_bool vrc_host_handle_split_lock(vrc_u64 rip)
{
	return handle_guest_split_lock(rip);
}

/* ---- host state that a VM-exit loses (SDM Vol. 3C, 28.5) ---- */

/* A task that may use I/O ports needs the whole TSS. */
static noinline void reload_tss(void)
{
	invalidate_tss_limit();
}

void vrc_host_invalidate_tss_limit(void)
{
	/* The kernel's own function, without its check that preemption is off, which is most of it when inlined. */
	if (unlikely(test_thread_flag(TIF_IO_BITMAP)))
		reload_tss();
	else
		this_cpu_write(__tss_limit_invalid, true);
}

void vrc_host_load_selectors(vrc_u16 ds, vrc_u16 es, vrc_u16 fs, vrc_u16 gs)
{
	loadsegment(ds, ds);
	loadsegment(es, es);
	if (fs)
		loadsegment(fs, fs);
	if (gs)
		load_gs_index(gs);
}

/* ---- facts ---- */

static vrc_u64 guest_fpu_features(void)
{
	struct fpu_guest fpu = {};
	vrc_u64 features;

	if (!fpu_alloc_guest_fpstate(&fpu))
		return XFEATURE_MASK_FPSSE;
	features = fpu.xfeatures;
	fpu_free_guest_fpstate(&fpu);
	return features;
}

/*
 * Ways in which a guest could attack the host or other guests on an affected CPU.  Mitigated here: MDS, TAA, MMIO stale
 * data and RFDS (VERW before VM-entry), L1TF (L1D flush before VM-entry), Spectre v2 (return stack buffer filled after
 * VM-exit).
 */
static const char *open_mitigation(void)
{
	if (boot_cpu_has_bug(X86_BUG_L1TF) && !boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		return "L1 Terminal Fault (and its microcode has no L1D flush)";
	if ((boot_cpu_has_bug(X86_BUG_MDS) || boot_cpu_has_bug(X86_BUG_TAA)) && !boot_cpu_has(X86_FEATURE_MD_CLEAR))
		return "Microarchitectural Data Sampling (and its microcode has no VERW clearing)";
	if (boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT))
		return "iTLB multihit";
	if (cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS))
		return "Retbleed (the kernel uses IBRS)";
#ifdef X86_BUG_BHI
	if (boot_cpu_has_bug(X86_BUG_BHI) && boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		return "Branch History Injection";
#endif
#ifdef X86_BUG_VMSCAPE
	if (boot_cpu_has_bug(X86_BUG_VMSCAPE) && boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		return "VMSCAPE";
#endif
	return NULL;
}

void vrc_host_cpu_facts(struct vrc_cpu_facts *facts)
{
	facts->fred = vrc_compat_fred();
	facts->flush_l1d = boot_cpu_has_bug(X86_BUG_L1TF) && boot_cpu_has(X86_FEATURE_FLUSH_L1D);
	facts->rdtscp = boot_cpu_has(X86_FEATURE_RDTSCP);
	facts->pku = cpu_feature_enabled(X86_FEATURE_OSPKE);
	facts->xsave = boot_cpu_has(X86_FEATURE_XSAVE);
	facts->fpu_features = guest_fpu_features();
	facts->split_lock_detection = boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT);
	facts->open_mitigation = open_mitigation();
}

/* The state in /sys/module, wherever the caller has sysfs mounted. */
enum vrc_presence vrc_module_presence(const char *name)
{
	struct kset *modules = THIS_MODULE->mkobj.kobj.kset;
	struct kobject *found = modules ? kset_find_obj(modules, name) : NULL;
	enum vrc_presence presence;

	if (!found)
		return VRC_ABSENT;
	presence = container_of(found, struct module_kobject, kobj)->mod ? VRC_LOADED : VRC_BUILT_IN;
	kobject_put(found);
	return presence;
}

const char *vrc_host_vmx_owner(void)
{
	static const char *const known[] = { "kvm_intel", "vboxdrv", "vmmon", "acrn" };
	int i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (vrc_module_presence(known[i]) != VRC_ABSENT)
			return known[i];
	}
	return NULL;
}
