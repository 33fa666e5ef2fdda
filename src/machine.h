/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of the C++ part (src/module.cc) that src/linux/ (C) calls.  linux/host.h has the opposite direction.
 *
 * Functions that return int return 0 or a negative errno.
 */
#ifndef VREGCACHE_MACHINE_H
#define VREGCACHE_MACHINE_H

#include "linux/host.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the module and its processors ---- */
/* Checks this CPU and prepares VMX; logs the reason for a refusal.  @beside_kvm: KVM owns VMX operation. */
int vrc_init(vrc_bool beside_kvm, vrc_bool unsafe_allowed);
void vrc_exit(void);
/* On the CPU itself, interrupts off.  Logs the reason for a failure. */
int vrc_cpu_enable(void);
void vrc_cpu_disable(void);
/* Ends VMX operation on this CPU for good: no vCPU runs here any more. */
void vrc_cpu_give_up(void);

/* ---- virtual machines and vCPUs ---- */
struct vrc_vm *vrc_vm_create(struct vrc_host_vm *host);
void vrc_vm_destroy(struct vrc_vm *vm);
/* Creates a vCPU in @vm; @run is the page that userspace maps, followed by the page for port I/O data. */
int vrc_vcpu_create(struct vrc_vm *vm, vrc_u32 id, struct vrc_host_vcpu *host, void *run, struct vrc_vcpu **vcpu);
/* Fills in its VMCS; @vcpu's host object must point to @vcpu by now. */
int vrc_vcpu_set_up(struct vrc_vcpu *vcpu);
/*
 * As in KVM, a vCPU's number cannot be reused during the life of its virtual machine, unless userspace never got the
 * vCPU (@release_id).
 */
void vrc_vcpu_destroy(struct vrc_vcpu *vcpu, vrc_bool release_id);

/* ---- ioctls ---- */
/* Unknown ones return -ENOTTY.  The C part creates the files. */
long vrc_device_ioctl(unsigned int command, unsigned long argument);
long vrc_vm_ioctl(struct vrc_vm *vm, unsigned int command, unsigned long argument);
long vrc_vcpu_ioctl(struct vrc_vcpu *vcpu, unsigned int command, unsigned long argument);

/* ---- a vCPU on a CPU ---- */
/*
 * While pmi_in_guest() is true, on the vCPU's CPU: the guest's RIP, and whether it runs at privilege level 3.  -EIO:
 * they cannot be read.
 */
int vrc_vcpu_pmi_sample(struct vrc_vcpu *vcpu, vrc_u64 *rip, vrc_bool *user);

/*
 * From the scheduler's notifiers, preemption off; vrc_vcpu_sched_out() with interrupts off.  They never use the
 * register cache.
 */
void vrc_vcpu_sched_in(struct vrc_vcpu *vcpu);
void vrc_vcpu_sched_out(struct vrc_vcpu *vcpu);

/* ---- debugfs ---- */
/* The debugfs table: row @index, or false after the last. */
struct vrc_counter_row {
	const char *reason;
	vrc_u64 exits;
	vrc_u64 hits;
	vrc_u64 vmreads;
	vrc_u64 vmwrites;
	vrc_u64 eager;
};

vrc_bool vrc_counter_row(unsigned int index, struct vrc_counter_row *row);
void vrc_counters_reset(void);

/* The debugfs table of CPUs. */
struct vrc_cpu_row {
	vrc_bool on;    /* in VMX operation */
	vrc_u64 vmxons; /* how often it has entered VMX operation since the module was loaded */
	vrc_u32 vmcss;  /* loaded on it */
};

void vrc_cpu_row(unsigned int cpu, struct vrc_cpu_row *row);

#ifdef __cplusplus
}
#endif
#endif
