/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events, /sys/kernel/tracing/events/vregcache.  They show values that are in memory anyway: none reads a VMCS
 * field.
 * A value whose register is not in the event's "available" is 0 and means nothing.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vregcache

#if !defined(VREGCACHE_LINUX_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VREGCACHE_LINUX_TRACE_H

#include <linux/tracepoint.h>

#include "host.h"
#include "names.h"

#define VRC_SYMBOL_OF_REGISTER(number, mask, name, reg) { number, #name }
#define VRC_FLAG_OF_REGISTER(number, mask, name, reg) { mask, #name }
#define VRC_FLAG_OF_GROUP(mask, name) { mask, #name }
#define VRC_SYMBOL_OF(number, name, constant) { number, #name }

#define vrc_show_register(number) __print_symbolic(number, VRC_REGISTERS(VRC_SYMBOL_OF_REGISTER))
/* For "%s%s%s". */
#define vrc_show_registers(set)										\
	__print_flags((set) & 0xffffffff, "|", VRC_LOWER_GROUPS(VRC_FLAG_OF_GROUP),			\
		      VRC_LOWER_REGISTERS(VRC_FLAG_OF_REGISTER)),					\
	((set) & 0xffffffff) && ((set) >> 32) ? "|" : "",						\
	__print_flags((set) >> 32, "|", VRC_SEGMENT_GROUPS(VRC_FLAG_OF_GROUP),				\
		      VRC_SEGMENT_REGISTERS(VRC_FLAG_OF_REGISTER))

/* Interruption information (SDM Vol. 3C, table 25-17). */
#define vrc_show_event(word)										\
	__print_symbolic((word) & 0x80000700,								\
		{ 0x80000000, "interrupt" }, { 0x80000200, "nmi" }, { 0x80000300, "exception" },	\
		{ 0x80000400, "int_n" }, { 0x80000500, "int1" }, { 0x80000600, "int3_into" },		\
		{ 0, "none" }, { 0x100, "none" }, { 0x200, "none" }, { 0x300, "none" },			\
		{ 0x400, "none" }, { 0x500, "none" }, { 0x600, "none" }, { 0x700, "none" })

/* The guest is about to run: the registers in "dirty" are written back now, and "event" is injected. */
TRACE_EVENT(vm_entry,
	TP_PROTO(const struct vrc_trace_entry *now),
	TP_ARGS(now),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u32, event)
		__field(u32, error_code)
		__field(u64, available)
		__field(u64, dirty)
		__field(u64, rip)
	),
	TP_fast_assign(
		__entry->vcpu = now->vcpu;
		__entry->event = now->event;
		__entry->error_code = now->error_code;
		__entry->available = now->available;
		__entry->dirty = now->dirty;
		__entry->rip = now->rip;
	),
	TP_printk("vcpu=%u rip=0x%llx event=%s vector=%u error_code=0x%x dirty=%s%s%s available=%s%s%s",
		  __entry->vcpu, __entry->rip, vrc_show_event(__entry->event), __entry->event & 0xff,
		  __entry->error_code, vrc_show_registers(__entry->dirty), vrc_show_registers(__entry->available))
);

/* An exit was handled: the registers that are cached by then, and those still to be written back. */
TRACE_EVENT(vm_exit,
	TP_PROTO(const struct vrc_trace_exit *now),
	TP_ARGS(now),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u32, reason)
		__field(u32, next)
		__field(u32, interruption)
		__field(u32, interruption_error)
		__field(u32, vectoring)
		__field(u32, length)
		__field(u64, available)
		__field(u64, dirty)
		__field(u64, rip)
		__field(u64, qualification)
		__field(u64, guest_physical)
	),
	TP_fast_assign(
		__entry->vcpu = now->vcpu;
		__entry->reason = now->reason;
		__entry->next = now->next;
		__entry->interruption = now->interruption;
		__entry->interruption_error = now->interruption_error;
		__entry->vectoring = now->vectoring;
		__entry->length = now->length;
		__entry->available = now->available;
		__entry->dirty = now->dirty;
		__entry->rip = now->rip;
		__entry->qualification = now->qualification;
		__entry->guest_physical = now->guest_physical;
	),
	TP_printk("vcpu=%u reason=%s next=%s rip=0x%llx length=%u qualification=0x%llx guest_physical=0x%llx interruption=0x%x interruption_error=0x%x vectoring=0x%x dirty=%s%s%s available=%s%s%s",
		  __entry->vcpu, __print_symbolic(__entry->reason, VRC_EXIT_REASONS(VRC_SYMBOL_OF)),
		  __print_symbolic(__entry->next, VRC_EXIT_ENDS(VRC_SYMBOL_OF)), __entry->rip, __entry->length,
		  __entry->qualification, __entry->guest_physical, __entry->interruption, __entry->interruption_error,
		  __entry->vectoring, vrc_show_registers(__entry->dirty), vrc_show_registers(__entry->available))
);

DECLARE_EVENT_CLASS(vrc_register,
	TP_PROTO(u32 vcpu, u32 reg, u64 value),
	TP_ARGS(vcpu, reg, value),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u32, reg)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->reg = reg;
		__entry->value = value;
	),
	TP_printk("vcpu=%u reg=%s value=0x%llx", __entry->vcpu, vrc_show_register(__entry->reg), __entry->value)
);

/* A read took its value from the VMCS. */
DEFINE_EVENT(vrc_register, miss, TP_PROTO(u32 vcpu, u32 reg, u64 value), TP_ARGS(vcpu, reg, value));

/* A dirty register was written back to the VMCS. */
DEFINE_EVENT(vrc_register, write_back, TP_PROTO(u32 vcpu, u32 reg, u64 value), TP_ARGS(vcpu, reg, value));

/* From here on these registers are in the VMCS only. */
TRACE_EVENT(invalidate,
	TP_PROTO(u32 vcpu, u64 set),
	TP_ARGS(vcpu, set),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u64, set)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->set = set;
	),
	TP_printk("vcpu=%u set=%s%s%s", __entry->vcpu, vrc_show_registers(__entry->set))
);

/* The register cache was used in a wrong context, of that kind, by the code at "ip". */
TRACE_EVENT(context_violation,
	TP_PROTO(u32 vcpu, u32 kind, u32 operation, u32 reg, unsigned long ip),
	TP_ARGS(vcpu, kind, operation, reg, ip),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u32, kind)
		__field(u32, operation)
		__field(u32, reg)
		__field(unsigned long, ip)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->kind = kind;
		__entry->operation = operation;
		__entry->reg = reg;
		__entry->ip = ip;
	),
	TP_printk("vcpu=%u kind=%s operation=%s reg=%s ip=%pS", __entry->vcpu,
		  __print_symbolic(__entry->kind, VRC_CONTEXT_KINDS(VRC_SYMBOL_OF)),
		  __print_symbolic(__entry->operation, VRC_OPERATIONS(VRC_SYMBOL_OF)),
		  __print_symbolic(__entry->reg, VRC_REGISTERS(VRC_SYMBOL_OF_REGISTER), { VRC_NOT_A_REGISTER, "none" }),
		  (void *)__entry->ip)
);

/* The VMCS was made the current one of this CPU; "from" is where it was loaded before, or -1. */
TRACE_EVENT(vmcs_load,
	TP_PROTO(u32 vcpu, u64 vmcs, int from),
	TP_ARGS(vcpu, vmcs, from),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(int, from)
		__field(u64, vmcs)
	),
	TP_fast_assign(
		__entry->vcpu = vcpu;
		__entry->from = from;
		__entry->vmcs = vmcs;
	),
	TP_printk("vcpu=%u vmcs=0x%llx from=%d", __entry->vcpu, __entry->vmcs, __entry->from)
);

/*
 * A value in memory differs from the VMCS: that of a register; that of a last-written field ("by" says so); or another
 * VMCS is current ("by" is vmptrld, and the values are addresses).  "by" and "caller" say what cached the value.
 */
TRACE_EVENT(mismatch,
	TP_PROTO(const struct vrc_mismatch *it),
	TP_ARGS(it),
	TP_STRUCT__entry(
		__field(u32, vcpu)
		__field(u32, reg)
		__field(u32, field)
		__field(u32, at)
		__field(u32, by)
		__field(u64, memory)
		__field(u64, vmcs)
		__field(u64, caller)
	),
	TP_fast_assign(
		__entry->vcpu = it->vcpu;
		__entry->reg = it->reg;
		__entry->field = it->field;
		__entry->at = it->at;
		__entry->by = it->cached_by;
		__entry->memory = it->memory;
		__entry->vmcs = it->vmcs;
		__entry->caller = it->caller;
	),
	TP_printk("vcpu=%u reg=%s field=0x%x memory=0x%llx vmcs=0x%llx at=%s by=%s caller=%pS", __entry->vcpu,
		  __print_symbolic(__entry->reg, VRC_REGISTERS(VRC_SYMBOL_OF_REGISTER), { VRC_NOT_A_REGISTER, "none" }),
		  __entry->field, __entry->memory, __entry->vmcs,
		  __print_symbolic(__entry->at, VRC_FOUND_AT(VRC_SYMBOL_OF)),
		  __print_symbolic(__entry->by, VRC_OPERATIONS(VRC_SYMBOL_OF),
				   { VRC_CACHED_BEFORE_VERIFICATION, "before_verification" },
				   { VRC_CACHED_BY_LAST_WRITE, "last-write" }, { VRC_CACHED_BY_VMPTRLD, "vmptrld" }),
		  (void *)__entry->caller)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
