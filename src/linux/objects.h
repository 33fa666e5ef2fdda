/* SPDX-License-Identifier: GPL-2.0 */
/* The C part's objects for a virtual machine and for a vCPU. */
#ifndef VREGCACHE_LINUX_OBJECTS_H
#define VREGCACHE_LINUX_OBJECTS_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <asm/fpu/types.h>

#include "../machine.h"
#include "compat.h"

struct vrc_host_vm {
	struct kref references;   /* one for its file, one for each vCPU */
	struct mutex memory_lock; /* slots, EPT, vCPU numbers */
	struct mm_struct *mm;     /* the process whose memory the guest uses; only it may use the files */
	struct vrc_vm *machine;
};

struct vrc_host_vcpu {
	struct vrc_host_vm *vm;
	u32 id;            /* its number in the virtual machine */
	struct mutex lock; /* serialises the ioctls; users of the register cache hold it */
	struct preempt_notifier notifier;
#ifdef VRC_KERNEL_SWITCHES_GUEST_FPU
	struct fpu_guest fpu;
#else
	union fpregs_state *fpu;
#endif
	void *run; /* VRC_RUN_PAGES pages, shared with userspace */
	struct kvm_vcpu *work; /* for vrc_host_do_task_work() */
	struct vrc_vcpu *machine;
};

/* NULL: the file is not a vCPU. */
struct vrc_host_vcpu *vrc_vcpu_of_file(struct file *file);

/* Memory that the C++ part has allocated and not freed. */
void vrc_memory_in_use(long *pages, long *blocks);

void vrc_notifier_init(struct vrc_host_vcpu *vcpu);

int vrc_device_register(void);
void vrc_device_unregister(void);
void vrc_debugfs_register(void);
void vrc_debugfs_unregister(void);

/* A built-in module counts as present only if it has parameters. */
enum vrc_presence { VRC_ABSENT, VRC_LOADED, VRC_BUILT_IN };
enum vrc_presence vrc_module_presence(const char *name);

/*
 * The owner of VMX operation, as the parameter vmx_owner and the kernel want it.  If it is KVM, keeps VMX on.  Logs the
 * reason for a failure.
 */
int vrc_vmx_owner_start(bool *beside_kvm);
void vrc_vmx_owner_stop(void);
void vrc_vmx_owner_log(void);

int vrc_cpus_start(void);
void vrc_cpus_stop(void);
/* The parameter perf_guest.  -EBUSY: it is on, and perf's guest callbacks are taken. */
int vrc_perf_start(void);
void vrc_perf_stop(void);

#endif
