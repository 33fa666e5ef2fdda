// SPDX-License-Identifier: GPL-2.0
// Trace events: one NOP each while nobody listens.  What an event tells is fetched behind its key, from memory: no event
// reads a VMCS field.  Not for code that must not be instrumented.
#pragma once

#include <vregcache/register.h>

#include "../glue/kernel.h"
#include "names.h"
#include "static_key.h"
#include "types.h"

// By the names that the kernel's macros give them.
extern tracepoint g_vm_entry asm("__tracepoint_vm_entry");
extern tracepoint g_vm_exit asm("__tracepoint_vm_exit");
extern tracepoint g_miss asm("__tracepoint_miss");
extern tracepoint g_write_back asm("__tracepoint_write_back");
extern tracepoint g_invalidate asm("__tracepoint_invalidate");
extern tracepoint g_vmcs_load asm("__tracepoint_vmcs_load");

// A function that stays one, under its own name, for who traces functions.
#define VRC_TRACEABLE [[maybe_unused, gnu::noinline, gnu::noclone]]

namespace {

// A call that leaves every register as it was, so that nothing has to be kept for it where it is not made.  The function
// is one that does so; its arguments are put into their registers here, and those get back what they had.
// clang-format off
#define VRC_CALL_ASIDE(function, first, second, third)                                                 \
	({                                                                                             \
		/* Keeps the call behind the function's own stack frame, where it has one. */          \
		register u64 stack asm("rsp");                                                         \
		asm volatile("push %%rdi\n\tpush %%rsi\n\tpush %%rdx\n\t"                             \
			     "push %[a]\n\tpush %[b]\n\tpush %[c]\n\tpop %%rdx\n\tpop %%rsi\n\tpop %%rdi\n\t" \
			     "call " #function "\n\tpop %%rdx\n\tpop %%rsi\n\tpop %%rdi"            \
			     : "+r"(stack) : [a] "r"(static_cast<u64>(first)), [b] "r"(static_cast<u64>(second)),  \
				 [c] "r"(static_cast<u64>(third)) : "memory");                         \
	})
// clang-format on

// What follows after an exit, for people.
enum class ExitEnd : u8 {
#define VRC_ENUMERATOR(number, name, constant) constant = number
	VRC_EXIT_ENDS(VRC_ENUMERATOR)
#undef VRC_ENUMERATOR
};

// The vCPU is given by reference, so that its number is read behind the key.
[[gnu::always_inline]] inline void trace_miss(const u32& vcpu, vregcache::Reg reg, u64 value)
{
	if (is_traced<g_miss>()) [[unlikely]]
		VRC_CALL_ASIDE(vrc_trace_miss, vcpu, index(reg), value);
}

// Of several registers; @value has all, by number.
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

template <class Vcpu>
VREGCACHE_COLD void tell_vm_entry(const Vcpu& vcpu)
{
	using vregcache::Reg;
	vrc_trace_entry entry = {};
	entry.vcpu = vcpu.id;
	entry.available = vcpu.cache.available().bits();
	entry.dirty = vcpu.cache.dirty().bits();
	entry.rip = vcpu.cache.peek(Reg::kRip);
	if (vcpu.event.pending()) {
		entry.event = vcpu.event.information.word;
		entry.error_code = vcpu.event.error_code;
	}
	vrc_trace_vm_entry(&entry);
}

template <class Vcpu>
[[gnu::always_inline]] inline void trace_vm_entry(const Vcpu& vcpu)
{
	if (is_traced<g_vm_entry>()) [[unlikely]]
		tell_vm_entry(vcpu);
}

template <class Vcpu>
VREGCACHE_COLD void tell_vm_exit(const Vcpu& vcpu, u32 reason, ExitEnd next)
{
	using vregcache::Reg;
	auto peek = [&vcpu](Reg reg) { return vcpu.cache.peek(reg); };
	vrc_trace_exit exit = {};
	exit.vcpu = vcpu.id;
	exit.reason = reason;
	exit.next = static_cast<u32>(next);
	exit.available = vcpu.cache.available().bits();
	exit.dirty = vcpu.cache.dirty().bits();
	exit.rip = peek(Reg::kRip);
	exit.qualification = peek(Reg::kExitQualification);
	exit.guest_physical = peek(Reg::kGuestPhysicalAddress);
	exit.interruption = static_cast<u32>(peek(Reg::kExitInterruptionInformation));
	exit.interruption_error = static_cast<u32>(peek(Reg::kExitInterruptionErrorCode));
	exit.vectoring = static_cast<u32>(peek(Reg::kIdtVectoringInformation));
	exit.length = static_cast<u32>(peek(Reg::kExitInstructionLength));
	vrc_trace_vm_exit(&exit);
}

// @end_of says what follows, asked only if somebody listens.
template <class Vcpu, class EndOf>
[[gnu::always_inline]] inline void trace_vm_exit(const Vcpu& vcpu, u32 reason, EndOf end_of)
{
	if (is_traced<g_vm_exit>()) [[unlikely]]
		tell_vm_exit(vcpu, reason, end_of());
}

}  // namespace
