// SPDX-License-Identifier: GPL-2.0
// Which external event the next VM-entry delivers, and how the module learns that the guest can take one.
#pragma once

#include "vcpu/guest_state.h"

namespace {

// May an interrupt be delivered at the next VM-entry (SDM Vol. 3C, 27.3.1.4 and 27.3.1.5)?
inline Result<bool> can_take_interrupt(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The interrupt that is pending for the guest, or none.
struct PendingInterrupt {
	bool valid = false;
	u8 vector = 0;
};

inline PendingInterrupt pending_interrupt(const Vcpu& vcpu);

// Replaces any pending interrupt with this one.
inline void set_pending_interrupt(Vcpu& vcpu, u8 number);

Result<bool> pending_event_is_due(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Userspace, which has the interrupt controller, asks for an exit; it may change the request at any time.
inline bool userspace_wants_interrupt_window(const Vcpu& vcpu) { return is_set(vcpu.run->request_interrupt_window); }

constexpr u32 kWindows = primary::kInterruptWindow | primary::kNmiWindow;

// Chooses the event of highest priority that can be delivered, if none is injected yet: NMI before interrupt (SDM Vol. 3A,
// table 6-2).  For each that must still wait, requests a VM-exit at the first instruction boundary where it can be delivered.
inline Result<void> choose_event(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
