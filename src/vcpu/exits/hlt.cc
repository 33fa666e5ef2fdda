// SPDX-License-Identifier: GPL-2.0
// HLT.
#include "vcpu/exits/exits.h"
#include "vcpu/injection.h"
#include "vcpu/instruction.h"

namespace {

VRC_TRACEABLE Result<Next> handle_hlt(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(skip_instruction_inline(vcpu, vmcs));
	// An event that can be delivered wakes the CPU at once.
	if (vcpu.injected.valid())
		return Next::kResume;
	if (vcpu.pending.any() && VREGCACHE_TRY(pending_event_is_due(vcpu, vmcs))) [[unlikely]]
		return Next::kResume;
	vcpu.run->exit_reason = KVM_EXIT_HLT;
	return Next::kUserspace;
}

}  // namespace
