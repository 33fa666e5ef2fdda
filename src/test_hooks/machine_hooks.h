/* SPDX-License-Identifier: GPL-2.0 */
/*
 * More of the boundary in kernel.h, for tests alone: what src/test_hooks/exports.c asks of the machine, which is
 * implemented in src/test_hooks/machine_hooks.cc.
 */
#ifndef VREGCACHE_GLUE_KERNEL_TEST_H
#define VREGCACHE_GLUE_KERNEL_TEST_H

#include "../linux/host.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vrc_vcpu;

/* Fields of the vCPU's VMCS, below the register cache; and VMCLEAR behind the module's back. */
int vrc_vcpu_raw_vmread(struct vrc_vcpu *vcpu, vrc_u32 encoding, vrc_u64 *value);
int vrc_vcpu_raw_vmwrite(struct vrc_vcpu *vcpu, vrc_u32 encoding, vrc_u64 value);
int vrc_vcpu_raw_vmclear(struct vrc_vcpu *vcpu);
/* Calls @function while the vCPU's VMCS is the current one. */
int vrc_vcpu_with_vmcs(struct vrc_vcpu *vcpu, void (*function)(void *), void *argument);

/* One operation of the register cache, as whoever calls it finds the vCPU. */
enum vrc_cache_operation {
	VRC_CACHE_READ,
	VRC_CACHE_READ_TYPED,		 /* of RIP, as the compiler knows */
	VRC_CACHE_READ_ALL,		 /* of RIP and RFLAGS; RIP's value */
	VRC_CACHE_WRITE,
	VRC_CACHE_WRITE_TYPED,		 /* of RIP */
	VRC_CACHE_WRITE_BACK,
	VRC_CACHE_VM_EXIT,
	VRC_CACHE_VM_ENTRY_FAILED,
	VRC_CACHE_VM_ENTRY_FAILURE_EXIT,
	VRC_CACHE_MARK_FOR_RELOAD,
	VRC_CACHE_BIND,
	VRC_CACHE_WATCHING_CHANGED,
	VRC_CACHE_OPERATIONS
};

struct vrc_cache_use {
	vrc_u32 operation;
	vrc_u32 reg; /* where one may be chosen */
	vrc_u64 value;
	int error;
};

void vrc_vcpu_use_cache(struct vrc_vcpu *vcpu, struct vrc_cache_use *use);

/*
 * Breaks what memory has of a vCPU, as an error in the register cache or beside it would. -EINVAL: the
 * registers are not in the state that makes it this fault.
 */
enum vrc_plant {
	VRC_PLANT_STALE,  /* @reg is in the VMCS only: memory's old value is taken for it */
	VRC_PLANT_LOSE,   /* @reg is dirty: it is not, and is never stored */
	VRC_PLANT_SWAP,   /* @reg and @value, a register, are in memory and not dirty: their values are exchanged */
	VRC_PLANT_SHADOW, /* the shadow of the field with @reg for its encoding is changed by XOR with @value */
};

int vrc_vcpu_plant(struct vrc_vcpu *vcpu, enum vrc_plant fault, vrc_u32 reg, vrc_u64 value);
/* VMPTRLD of @other's VMCS, where the module believes that @vcpu's is current. */
int vrc_vcpu_raw_vmptrld(struct vrc_vcpu *vcpu, struct vrc_vcpu *other);

/* While pmi_in_guest(): each register as the cache has it and as the VMCS has it. */
struct vrc_pmi_comparison {
	vrc_u32 registers;   /* how many there are */
	vrc_u32 differences; /* and how many differ, or cannot be read */
	vrc_u32 first;	     /* of these the first */
	vrc_u64 in_memory;
	vrc_u64 in_vmcs;
	vrc_u64 rip;
	vrc_u64 rsp;
	vrc_u64 rflags;
	vrc_u64 gpr[16]; /* as instructions number them; that of RSP means nothing */
};

void vrc_vcpu_pmi_compare(struct vrc_vcpu *vcpu, struct vrc_pmi_comparison *comparison);

/* What memory has of a register, whatever its bits say; and do all registers' bits agree with each other? */
struct vrc_raw_register {
	vrc_u64 value;
	vrc_bool available;
	vrc_bool dirty;
	vrc_bool quick;
	vrc_bool possible;
};

/* In any context. */
void vrc_vcpu_raw_register(struct vrc_vcpu *vcpu, vrc_u32 number, struct vrc_raw_register *state);

#ifdef __cplusplus
}
#endif

#endif
