// SPDX-License-Identifier: GPL-2.0
// Trace events of a vCPU's VM-entries and VM-exits; see src/instrument/trace.h.
#pragma once

#include "instrument/trace.h"
#include "vcpu/vcpu.h"

extern tracepoint g_vm_entry asm("__tracepoint_vm_entry");
extern tracepoint g_vm_exit asm("__tracepoint_vm_exit");

namespace {

// What follows after an exit, for people.
enum class ExitEnd : u8 {
#define VRC_ENUMERATOR(number, name, constant) constant = number
	VRC_EXIT_ENDS(VRC_ENUMERATOR)
#undef VRC_ENUMERATOR
};

VREGCACHE_COLD void tell_vm_entry(const Vcpu& vcpu)
{
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

[[gnu::always_inline]] inline void trace_vm_entry(const Vcpu& vcpu)
{
	if (is_traced<g_vm_entry>()) [[unlikely]]
		tell_vm_entry(vcpu);
}

[[maybe_unused]] VREGCACHE_COLD void tell_vm_exit(const Vcpu& vcpu, u32 reason, ExitEnd next)
{
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
template <class EndOf>
[[gnu::always_inline]] inline void trace_vm_exit(const Vcpu& vcpu, u32 reason, EndOf end_of)
{
	if (is_traced<g_vm_exit>()) [[unlikely]]
		tell_vm_exit(vcpu, reason, end_of());
}

}  // namespace
