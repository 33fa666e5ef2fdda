/* SPDX-License-Identifier: GPL-2.0 */
/* The module's interface for selftests/vregcache_test/: symbols in the namespace VREGCACHE_TEST. */
#ifndef VREGCACHE_TEST_HOOKS_EXPORTS_H
#define VREGCACHE_TEST_HOOKS_EXPORTS_H

#include "machine_hooks.h"

struct file;
struct ratelimit_state;

/*
 * VMREAD, VMWRITE and VMCLEAR of a vCPU's VMCS, below the register cache.  May sleep.
 * -EBADF: the file is not a vCPU.  -EIO: it is another process's, or the CPU is not in VMX operation.  -EINVAL:
 * VMfailValid, so there is no such field.  -ENXIO: VMfailInvalid, so no VMCS is current.  -EINTR: the caller was
 * killed.
 */
int vrc_test_vmcs_read(struct file *vcpu, vrc_u32 encoding, vrc_u64 *value);
int vrc_test_vmcs_write(struct file *vcpu, vrc_u32 encoding, vrc_u64 value);
int vrc_test_vmcs_clear(struct file *vcpu);

/* Corrupts a vCPU's values in memory; see machine_hooks.h. */
int vrc_test_plant(struct file *vcpu, enum vrc_plant fault, vrc_u32 reg, vrc_u64 value);
/* VMPTRLD of another vCPU's VMCS, without the module's knowledge. */
int vrc_test_vmcs_load(struct file *vcpu, struct file *other);

/*
 * Gets a vCPU for handlers of NMIs and interrupts; valid while the file is held.  -EBADF, -EIO: as above.
 * pmi_in_guest: whether the caller is a handler that has interrupted its guest.  pmi_compare: if so, its registers.
 */
struct vrc_host_vcpu;
int vrc_test_vcpu(struct file *file, struct vrc_host_vcpu **vcpu);
vrc_bool vrc_test_pmi_in_guest(const struct vrc_host_vcpu *vcpu);
void vrc_test_pmi_compare(struct vrc_host_vcpu *vcpu, struct vrc_pmi_comparison *comparison);

/*
 * Calls @function while the vCPU's VMCS is the current one, and interrupts are off; if @locked under the vCPU's mutex.
 * Errors as above;
 * the file must be a vCPU of the calling process.
 */
int vrc_test_with_vmcs(struct file *vcpu, bool locked, void (*function)(void *), void *argument);
/* Calls @function under the vCPU's mutex alone. */
int vrc_test_with_lock(struct file *vcpu, void (*function)(void *), void *argument);
/* From such a function: calls @function while the vCPU's VMCS is the current one, and interrupts are off. */
int vrc_test_with_vmcs_too(struct file *vcpu, void (*function)(void *), void *argument);
/* One operation of the register cache, in the caller's context and with the vCPU in any state. */
void vrc_test_use_cache(struct file *vcpu, struct vrc_cache_use *use);
/*
 * Pretend that the handler of an interrupt or (@nmi) NMI that ended the guest's run is running on this CPU.  Preemption
 * off.
 */
void vrc_test_begin_handling_intr(struct file *vcpu, bool nmi);
void vrc_test_end_handling_intr(void);

/* The bits of a register of the cache, as they are now in its vCPU's memory; @vcpu: as above.  In any context. */
void vrc_test_raw_register(struct vrc_host_vcpu *vcpu, vrc_u32 number, struct vrc_raw_register *state);

/* Limits how many errors reach the log. */
extern struct ratelimit_state vrc_log_limit;

#endif
