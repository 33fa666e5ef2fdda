// SPDX-License-Identifier: GPL-2.0
// Trace events: one NOP each while they are disabled.  An event's values are read only if its key is on, and from memory: no
// event reads a VMCS field.  Not for code that must not be instrumented.  The events of a vCPU's entries and exits are in
// src/vcpu/trace.h.
#pragma once

#include <vregcache/register.h>

#include "linux/host.h"
#include "instrument/call_aside.h"
#include "instrument/static_key.h"
#include "vmx/types.h"

// Under the names that the kernel's macros give them.
extern tracepoint g_miss asm("__tracepoint_miss");
extern tracepoint g_write_back asm("__tracepoint_write_back");
extern tracepoint g_invalidate asm("__tracepoint_invalidate");
extern tracepoint g_vmcs_load asm("__tracepoint_vmcs_load");

// Keeps a function out of line and under its own name, for function tracing.
#define VRC_TRACEABLE [[maybe_unused, gnu::noinline, gnu::noclone]]

namespace {

// The vCPU's number is passed by reference, so that it is read only if the key is on.
[[gnu::always_inline]] inline void trace_miss(const u32& vcpu, vregcache::Reg reg, u64 value)
{
	if (is_traced<g_miss>()) [[unlikely]]
		VRC_CALL_ASIDE(vrc_trace_miss, vcpu, index(reg), value);
}

// For several registers; @value is indexed by register number.
[[gnu::always_inline]] inline void trace_misses(const u32& vcpu, vregcache::RegSet set, const u64* value)
{
	if (is_traced<g_miss>()) [[unlikely]]
		VRC_CALL_ASIDE(vrc_trace_misses, vcpu, set.bits(), reinterpret_cast<u64>(value));
}

[[gnu::always_inline]] inline void trace_write_back(const u32& vcpu, vregcache::Reg reg, u64 value)
{
	if (is_traced<g_write_back>()) [[unlikely]]
		VRC_CALL_ASIDE(vrc_trace_write_back, vcpu, index(reg), value);
}

[[gnu::always_inline]] inline void trace_invalidate(const u32& vcpu, vregcache::RegSet set)
{
	if (is_traced<g_invalidate>()) [[unlikely]]
		VRC_CALL_ASIDE(vrc_trace_invalidate, vcpu, set.bits(), 0);
}

[[gnu::always_inline]] inline void trace_vmcs_load(const u32& vcpu, const VmcsId& vmcs, unsigned from)
{
	if (is_traced<g_vmcs_load>()) [[unlikely]]
		VRC_CALL_ASIDE(vrc_trace_vmcs_load, vcpu, vmcs, from);
}

}  // namespace
