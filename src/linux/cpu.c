// SPDX-License-Identifier: GPL-2.0
/* Processors: VMX operation on each, interrupts, the scheduler, and facts about this CPU. */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <asm/cpu.h>
#include <asm/cpufeature.h>
#include <asm/desc.h>
#include <asm/mce.h>
#include <asm/mmu_context.h>
#include <asm/nospec-branch.h>
#include <asm/tlbflush.h>

#include "compat.h"
#include "fpu.h"
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

/* A task that runs a vCPU here finds the CPU out of VMX operation, and leaves it. */
static int cpu_down(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	vrc_cpu_disable();
	local_irq_restore(flags);
	return 0;
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

/* Beside KVM: before its own notifier, which ends VMX operation. */
static struct notifier_block reboot_notifier = { .notifier_call = leave_for_reboot, .priority = 1 };

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

void vrc_host_irq_disable(void)
{
	local_irq_disable();
}

void vrc_host_irq_enable(void)
{
	local_irq_enable();
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

void vrc_host_synchronize_rcu(void)
{
	synchronize_rcu_expedited();
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
#ifdef VRC_KERNEL_SETS_VMXE
	if (on)
		cr4_set_bits(X86_CR4_VMXE);
	else
		cr4_clear_bits(X86_CR4_VMXE);
#else
	/* vrc_vmx_owner_start() has let nothing but KVM own VMX operation. */
	WARN_ON_ONCE(1);
#endif
}

void vrc_host_prediction_barrier(void)
{
#ifdef VRC_KERNEL_FLUSHES_PREDICTIONS
	indirect_branch_prediction_barrier();
#else
	if (cpu_feature_enabled(X86_FEATURE_IBPB))
		native_wrmsrq(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
#endif
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
#ifdef VRC_KERNEL_HANDLES_SPLIT_LOCKS
	return handle_guest_split_lock(rip);
#else
	pr_warn_ratelimited("vregcache: %s/%d: the guest has executed a split lock at %#llx, which ends its run; boot with split_lock_detect=off to allow it\n",
			    current->comm, task_pid_nr(current), rip);
	return false;
#endif
}

/* ---- host state that a VM-exit loses (SDM Vol. 3C, 28.5) ---- */

#ifdef VRC_KERNEL_RELOADS_TSS

/* A task that may use I/O ports needs the whole TSS. */
static noinline void reload_tss(void)
{
	invalidate_tss_limit();
}

#endif

void vrc_host_invalidate_tss_limit(void)
{
#ifdef VRC_KERNEL_RELOADS_TSS
	/* The kernel's own function, without its check that preemption is off, which is most of it when inlined. */
	if (unlikely(test_thread_flag(TIF_IO_BITMAP)))
		reload_tss();
	else
		this_cpu_write(__tss_limit_invalid, true);
#else
	/* A task that may use I/O ports needs the whole TSS in userspace; the kernel checks this on the way there. */
	this_cpu_write(__tss_limit_invalid, true);
#endif
}

vrc_bool vrc_host_kvm_msrs_in_cpu(void)
{
#ifdef TIF_USER_RETURN_NOTIFY
	/* KVM's notifier, which puts the host's values back, waits for some task's return to userspace on this CPU. */
	return test_thread_flag(TIF_USER_RETURN_NOTIFY);
#else
	return true;
#endif
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
	facts->fpu_features = vrc_fpu_features();
	facts->split_lock_detection = boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT);
	facts->open_mitigation = open_mitigation();
}
