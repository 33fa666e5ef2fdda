// SPDX-License-Identifier: GPL-2.0
// Trace events of a vCPU's VM-entries and VM-exits; see src/instrument/trace.h.
#pragma once

#include "instrument/trace.h"
#include "linux/names.h"
#include "vcpu/vcpu.h"

extern tracepoint g_vm_entry asm("__tracepoint_vm_entry");
extern tracepoint g_vm_exit asm("__tracepoint_vm_exit");

namespace {

// What follows an exit, as traces show it.
enum class ExitEnd : u8 {
#define VRC_ENUMERATOR(number, name, constant) constant = number
	VRC_EXIT_ENDS(VRC_ENUMERATOR)
#undef VRC_ENUMERATOR
};

void emit_vm_entry(const Vcpu& vcpu);

[[gnu::always_inline]] inline void trace_vm_entry(const Vcpu& vcpu)
{
	if (is_traced<g_vm_entry>()) [[unlikely]]
		emit_vm_entry(vcpu);
}

// Only if the event is enabled.
[[gnu::always_inline]] inline bool traces_vm_exits() { return is_traced<g_vm_exit>(); }
void emit_vm_exit(const Vcpu& vcpu, u32 reason, ExitEnd next);

}  // namespace
