// SPDX-License-Identifier: GPL-2.0
/* The trace events, and the functions by which the C++ part emits them. */
#define CREATE_TRACE_POINTS
#include "trace.h"
#include "context.h"

void vrc_trace_vm_entry(const struct vrc_trace_entry *entry)
{
	trace_vm_entry(entry);
}

void vrc_trace_vm_exit(const struct vrc_trace_exit *exit)
{
	trace_vm_exit(exit);
}

noinline void vrc_trace_miss(vrc_u32 vcpu, vrc_u32 reg, vrc_u64 value)
{
	trace_miss(vcpu, reg, value);
}

void vrc_trace_misses(vrc_u32 vcpu, vrc_u64 set, const vrc_u64 *value)
{
	for (; set; set &= set - 1)
		vrc_trace_miss(vcpu, __builtin_ctzll(set), value[__builtin_ctzll(set)]);
}

void vrc_trace_write_back(vrc_u32 vcpu, vrc_u32 reg, vrc_u64 value)
{
	trace_write_back(vcpu, reg, value);
}

void vrc_trace_invalidate(vrc_u32 vcpu, vrc_u64 set)
{
	trace_invalidate(vcpu, set);
}

void vrc_trace_vmcs_load(vrc_u32 vcpu, vrc_u64 vmcs, int from)
{
	trace_vmcs_load(vcpu, vmcs, from);
}

void vrc_trace_context_violation(vrc_u32 vcpu, vrc_u32 kind, vrc_u32 operation, vrc_u32 reg, const void *site)
{
	trace_context_violation(vcpu, kind, operation, reg, (unsigned long)site);
}
