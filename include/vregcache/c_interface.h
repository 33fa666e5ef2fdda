/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The register cache for C, and for what calls C.  Compile c_interface.cc with a C++20 compiler; it needs no standard library.
 *
 * The caller provides VMREAD, VMWRITE and the question which VMCS is current, and may observe the cache through hooks.
 * Registers and fields are numbered as in registers.def.  Every function that takes a cache must be called while the caller
 * owns its vCPU and the VMCS is loaded; those marked (pinned) with interrupts off.
 */
#ifndef VREGCACHE_C_INTERFACE_H
#define VREGCACHE_C_INTERFACE_H

#include "registers.def"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As enum class Error in result.h.  0: success. */
enum vregcache_error {
	VREGCACHE_OK,
	VREGCACHE_VMFAIL_INVALID,
	VREGCACHE_VMFAIL_VALID,
	VREGCACHE_FAULT,
	VREGCACHE_NOT_CURRENT,
	VREGCACHE_DIRTY,
	VREGCACHE_NOT_BOUND,
	VREGCACHE_NO_REGISTER,
};

/* VREGCACHE_C_kRip and so on. */
#define VREGCACHE_C_REGISTER(unused, number, name, constant, field) VREGCACHE_C_##constant = (number)
enum vregcache_register { VREGCACHE_PLAIN_REGISTERS(VREGCACHE_C_REGISTER, ) };
#undef VREGCACHE_C_REGISTER

/* Segments and parts as enum class Segment and SegmentPart number them. */
#define VREGCACHE_C_SEGMENT(segment, part) (VREGCACHE_FIRST_SEGMENT + 4 * (segment) + (part))

struct vregcache_access {
	void* owner; /* passed to each function */
	enum vregcache_error (*vmread)(void* owner, unsigned int encoding, unsigned long long* value);
	enum vregcache_error (*vmwrite)(void* owner, unsigned int encoding, unsigned long long value);
	/* Is this VMCS, named by the physical address of its region, the current one of this CPU? */
	int (*is_current)(void* owner, unsigned long long vmcs);
	/* Hooks; each may be NULL. */
	void (*miss)(void* owner, unsigned int reg, unsigned long long value);
	void (*written_back)(void* owner, unsigned int reg, unsigned long long value);
};

/* Memory for a cache: vregcache_size() bytes, aligned to 8.  It needs no destruction. */
struct vregcache_cache;
unsigned long vregcache_size(void);
void vregcache_init(struct vregcache_cache* cache, const struct vregcache_access* access);

/* The cache belongs to this VMCS from now on.  VREGCACHE_DIRTY: a value for another VMCS has not been written back. */
enum vregcache_error vregcache_bind(struct vregcache_cache* cache, unsigned long long vmcs);
enum vregcache_error vregcache_read(struct vregcache_cache* cache, unsigned int reg, unsigned long long* value);
/* The value is cut to the width of the field.  VREGCACHE_NO_REGISTER: exit information cannot be written. */
enum vregcache_error vregcache_write(struct vregcache_cache* cache, unsigned int reg, unsigned long long value);
/* (pinned) Before VM-entry, which must not follow an error. */
enum vregcache_error vregcache_write_back(struct vregcache_cache* cache);
/* (pinned) After VM-exit, before anything is read. */
enum vregcache_error vregcache_vm_exit(struct vregcache_cache* cache);
/* (pinned) VMLAUNCH or VMRESUME failed with VMfail. */
void vregcache_vm_fail(struct vregcache_cache* cache);
/* (pinned) The exit reason has bit 31 set: VM-entry loaded guest state and then failed. */
void vregcache_vm_entry_failure_exit(struct vregcache_cache* cache);

int vregcache_is_available(const struct vregcache_cache* cache, unsigned int reg);
int vregcache_is_dirty(const struct vregcache_cache* cache, unsigned int reg);

#ifdef __cplusplus
}
#endif

#endif
