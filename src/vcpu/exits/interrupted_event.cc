// SPDX-License-Identifier: GPL-2.0
// What an exit during the delivery of an event, or during IRET, interrupted.
#include "vcpu/exits/interrupted_event.h"

namespace {

inline Result<void> requeue_interrupted_event(Vcpu& vcpu, const LoadedVmcs& vmcs, InterruptionInformation vectoring)
{
	if (!vectoring.valid())
		return {};
	vcpu.injected = {};
	vcpu.injected.information.word = vectoring.word;
	if (vectoring.has_error_code())
		vcpu.injected.error_code = VREGCACHE_TRY(vcpu.cache.read<Reg::kIdtVectoringErrorCode>(vmcs));
	if (vectoring.is_software())
		vcpu.injected.instruction_length = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionLength>(vmcs));
	// Delivering the NMI again sets blocking again, and VM-entry requires it to be clear (SDM Vol. 3C, 27.3.1.5).
	if (vectoring.is_nmi()) {
		u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
		vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking & ~interruptibility::kBlockingByNmi);
	}
	return {};
}

inline Result<void> restore_nmi_blocking(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking | interruptibility::kBlockingByNmi);
	return {};
}

}  // namespace
