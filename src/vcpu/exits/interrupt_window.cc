// SPDX-License-Identifier: GPL-2.0
// The guest can take an interrupt or NMI now.
#include "vcpu/exits/exits.h"
#include "vcpu/injection.h"

namespace {

VRC_TRACEABLE Result<Next> handle_interrupt_window(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (VREGCACHE_TRY(pending_event_is_due(vcpu, vmcs)) || !userspace_wants_interrupt_window(vcpu) ||
	    !VREGCACHE_TRY(can_take_interrupt(vcpu, vmcs)))
		return Next::kResume;
	vcpu.run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
	return Next::kUserspace;
}

}  // namespace
