// SPDX-License-Identifier: GPL-2.0
// Contents of the trace events for a vCPU's VM-entries and VM-exits.
#include "vcpu/trace.h"

namespace {

VREGCACHE_COLD void emit_vm_entry(const Vcpu& vcpu)
{
	vrc_trace_entry entry = {};
	entry.vcpu = vcpu.id;
	entry.available = vcpu.cache.available().bits();
	entry.dirty = vcpu.cache.dirty().bits();
	entry.rip = vcpu.cache.peek(Reg::kRip);
	if (vcpu.injected.valid()) {
		entry.event = vcpu.injected.information.word;
		entry.error_code = vcpu.injected.error_code;
	}
	vrc_trace_vm_entry(&entry);
}

VREGCACHE_COLD void emit_vm_exit(const Vcpu& vcpu, u32 reason, ExitEnd next)
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

}  // namespace
