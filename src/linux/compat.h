/* SPDX-License-Identifier: GPL-2.0 */
/* Differences between kernel versions and configurations, and nothing else. */
#ifndef VREGCACHE_LINUX_COMPAT_H
#define VREGCACHE_LINUX_COMPAT_H

#include <linux/cache.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/version.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vregcache needs Linux 6.1 or newer"
#endif
#ifndef CONFIG_SMP
#error "vregcache needs CONFIG_SMP"
#endif
#ifndef CONFIG_PREEMPT_NOTIFIERS
#error "vregcache needs CONFIG_PREEMPT_NOTIFIERS, which CONFIG_KVM selects"
#endif

/*
 * Since 6.19 the kernel keeps for KVM what changes CR4.VMXE, switches a guest's FPU registers, flushes branch
 * predictions, reloads TR's limit, and decides about split locks.  Since 7.1 it also executes VMXON for KVM.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define VRC_KERNEL_SETS_VMXE
#define VRC_KERNEL_SWITCHES_GUEST_FPU
#define VRC_KERNEL_FLUSHES_PREDICTIONS
#define VRC_KERNEL_RELOADS_TSS
#define VRC_KERNEL_HANDLES_SPLIT_LOCKS
#endif

/* Suspend and resume of the boot CPU, the last one up: Kbuild detects which form the kernel has. */
#ifdef VRC_SYSCORE_WITH_DATA
#define VRC_SYSCORE_PARAMETER void *unused
#define VRC_SYSCORE(name, suspend_function, resume_function)					\
	static const struct syscore_ops name##_operations = {					\
		.suspend = suspend_function, .resume = resume_function,				\
	};											\
	static struct syscore name = { .ops = &name##_operations }
#define vrc_compat_register_syscore(name) register_syscore(name)
#define vrc_compat_unregister_syscore(name) unregister_syscore(name)
#else
#define VRC_SYSCORE_PARAMETER void
#define VRC_SYSCORE(name, suspend_function, resume_function)					\
	static struct syscore_ops name = {							\
		.suspend = suspend_function, .resume = resume_function,				\
	}
#define vrc_compat_register_syscore(name) register_syscore_ops(name)
#define vrc_compat_unregister_syscore(name) unregister_syscore_ops(name)
#endif

/*
 * The owner of the mutex, or NULL.  Without lockdep no function that modules may use returns it, so it is decoded
 * here: a task's address, with flags in the bits that its alignment leaves.
 */
static inline const struct task_struct *vrc_compat_mutex_owner(const struct mutex *mutex)
{
#ifdef CONFIG_PREEMPT_RT
	unsigned long owner = (unsigned long)READ_ONCE(mutex->rtmutex.owner);
#else
	unsigned long owner = atomic_long_read(&mutex->owner);
#endif
	return (const struct task_struct *)(owner & ~(L1_CACHE_BYTES - 1UL));
}

/*
 * Work that a task must do before it enters a guest.  Before 6.18 the kernel's function takes a struct kvm_vcpu, and
 * uses only its run and stat, to record a signal.  We allocate one for it.
 */
#ifdef CONFIG_VIRT_XFER_TO_GUEST_WORK
#include <linux/entry-virt.h>

struct kvm_run;
struct kvm_vcpu;

static inline bool vrc_compat_task_work_alloc(struct kvm_vcpu **work, struct kvm_run *run)
{
	*work = NULL;
	return true;
}

static inline int vrc_compat_do_task_work(struct kvm_vcpu *work)
{
	return xfer_to_guest_mode_handle_work();
}
#else
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>

static inline bool vrc_compat_task_work_alloc(struct kvm_vcpu **work, struct kvm_run *run)
{
	*work = kvzalloc(sizeof(**work), GFP_KERNEL_ACCOUNT);
	if (*work)
		(*work)->run = run;
	return *work;
}

static inline int vrc_compat_do_task_work(struct kvm_vcpu *work)
{
	return xfer_to_guest_mode_handle_work(work);
}
#endif

/* The names since 6.16. */
#ifndef rdmsrq
#define rdmsrq rdmsrl
#define wrmsrq wrmsrl
#endif

/* FRED was added in 6.9. */
static inline bool vrc_compat_fred(void)
{
#ifdef X86_FEATURE_FRED
	return cpu_feature_enabled(X86_FEATURE_FRED);
#else
	return false;
#endif
}

/* The namespace's name became a string in 6.13. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define VRC_EXPORT_FOR_TESTS(symbol) EXPORT_SYMBOL_NS_GPL(symbol, "VREGCACHE_TEST")
#define VRC_IMPORT_FOR_TESTS() MODULE_IMPORT_NS("VREGCACHE_TEST")
#else
#define VRC_EXPORT_FOR_TESTS(symbol) EXPORT_SYMBOL_NS_GPL(symbol, VREGCACHE_TEST)
#define VRC_IMPORT_FOR_TESTS() MODULE_IMPORT_NS(VREGCACHE_TEST)
#endif

#endif
