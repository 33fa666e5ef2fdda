// SPDX-License-Identifier: GPL-2.0
// What an exit during the delivery of an event, or during IRET, interrupted.
#pragma once

#include "vcpu/guest_state.h"

namespace {

// An event whose delivery the exit interrupted must be delivered again (SDM Vol. 3C, 28.2.4).
inline Result<void> requeue_interrupted_event(Vcpu& vcpu, const LoadedVmcs& vmcs, InterruptionInformation vectoring);

// The exit came after IRET had ended blocking by NMI, but IRET will execute again (SDM Vol. 3C, 28.2.3).
inline Result<void> restore_nmi_blocking(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
