// SPDX-License-Identifier: GPL-2.0
// Which event from outside the next VM-entry delivers, and how the module learns that the guest can take one.
#pragma once

#include "vcpu/guest_state.h"

namespace {

// May an interrupt be delivered at the next VM-entry (SDM Vol. 3C, 27.3.1.4 and 27.3.1.5)?
inline Result<bool> can_take_interrupt(Vcpu& vcpu, const LoadedVmcs& vmcs);

// The interrupt that is on its way to the guest, or none.
struct PendingInterrupt {
	bool there = false;
	u8 vector = 0;
};

inline PendingInterrupt pending_interrupt(const Vcpu& vcpu);
Result<bool> waiting_event_is_due(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Userspace, which has the interrupt controller, asks to be told; it may change its mind at any time.
inline bool userspace_wants_interrupt_window(const Vcpu& vcpu) { return is_set(vcpu.run->request_interrupt_window); }

constexpr u32 kWindows = primary::kInterruptWindow | primary::kNmiWindow;

// Takes the event of highest priority that can be delivered, if none is on its way: NMI before interrupt (SDM Vol. 3A,
// table 6-2).  For each that must wait on, VM-exit is asked for at the first instruction boundary where it can go.
inline Result<void> choose_event(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
