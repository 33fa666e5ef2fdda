/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Extends ../machine.h, for tests only: functions that src/test_hooks/exports.c calls, implemented in
 * src/test_hooks/machine_hooks.cc.
 */
#ifndef VREGCACHE_TEST_HOOKS_MACHINE_HOOKS_H
#define VREGCACHE_TEST_HOOKS_MACHINE_HOOKS_H

#include "../linux/host.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vrc_vcpu;

/* Fields of the vCPU's VMCS, below the register cache; and VMCLEAR without the module's knowledge. */
int vrc_vcpu_raw_vmread(struct vrc_vcpu *vcpu, vrc_u32 encoding, vrc_u64 *value);
int vrc_vcpu_raw_vmwrite(struct vrc_vcpu *vcpu, vrc_u32 encoding, vrc_u64 value);
int vrc_vcpu_raw_vmclear(struct vrc_vcpu *vcpu);
/* Calls @function while the vCPU's VMCS is the current one, and interrupts are off. */
int vrc_vcpu_with_vmcs(struct vrc_vcpu *vcpu, void (*function)(void *), void *argument);

/* One operation of the register cache, in the caller's context and with the vCPU in any state. */
enum vrc_cache_operation {
	VRC_CACHE_READ,
	VRC_CACHE_READ_TYPED,		 /* of RIP, known at compile time */
	VRC_CACHE_READ_ALL,		 /* of RIP and RFLAGS; RIP's value */
	VRC_CACHE_WRITE,
	VRC_CACHE_WRITE_TYPED,		 /* of RIP */
	VRC_CACHE_WRITE_BACK,
	VRC_CACHE_VM_EXIT,
	VRC_CACHE_VM_FAIL,
	VRC_CACHE_VM_ENTRY_FAILURE_EXIT,
	VRC_CACHE_MARK_FOR_RELOAD,
	VRC_CACHE_BIND,
	VRC_CACHE_WATCHING_CHANGED,
	VRC_CACHE_OPERATIONS
};

struct vrc_cache_use {
	vrc_u32 operation;
	vrc_u32 reg; /* if the operation takes one */
	vrc_u64 value;
	int error;
};

void vrc_vcpu_use_cache(struct vrc_vcpu *vcpu, struct vrc_cache_use *use);

/*
 * Corrupts a vCPU's values in memory, as an error in the register cache or outside it would.  -EINVAL: the registers
 * are not in the state that the fault needs.
 */
enum vrc_plant {
	VRC_PLANT_STALE,  /* @reg is in the VMCS only: the old value in memory is made available */
	VRC_PLANT_LOSE,   /* @reg is dirty: its mark is removed, so it is never written back */
	VRC_PLANT_SWAP,   /* @reg and @value, a register, are cached and not dirty: their values are exchanged */
	VRC_PLANT_LAST_WRITTEN, /* the last-written value of the field with encoding @reg is XORed with @value */
};

int vrc_vcpu_plant(struct vrc_vcpu *vcpu, enum vrc_plant fault, vrc_u32 reg, vrc_u64 value);
/* VMPTRLD of @other's VMCS, while the module believes that @vcpu's is current. */
int vrc_vcpu_raw_vmptrld(struct vrc_vcpu *vcpu, struct vrc_vcpu *other);

/* While pmi_in_guest() is true: compares each register in the cache with the VMCS. */
struct vrc_pmi_comparison {
	vrc_u32 registers;   /* how many were compared */
	vrc_u32 differences; /* and how many differ, or cannot be read */
	vrc_u32 first;	     /* the first of these */
	vrc_u64 in_memory;
	vrc_u64 in_vmcs;
	vrc_u64 rip;
	vrc_u64 rsp;
	vrc_u64 rflags;
	vrc_u64 gpr[16]; /* numbered as in instructions; RSP's is meaningless */
};

void vrc_vcpu_pmi_compare(struct vrc_vcpu *vcpu, struct vrc_pmi_comparison *comparison);

/* A register's value in memory, whatever its bits; and @possible: the bits of all registers are consistent. */
struct vrc_raw_register {
	vrc_u64 value;
	vrc_bool available;
	vrc_bool dirty;
	vrc_bool fast_path;
	vrc_bool possible;
};

/* In any context. */
void vrc_vcpu_raw_register(struct vrc_vcpu *vcpu, vrc_u32 number, struct vrc_raw_register *state);

#ifdef __cplusplus
}
#endif

#endif
