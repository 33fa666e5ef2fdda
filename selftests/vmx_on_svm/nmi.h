// SPDX-License-Identifier: GPL-2.0
// NMIs and interrupts taken by the monitor itself, and blocking by NMI, which no register shows: IRET ends it, and
// taking an NMI without returning by IRET begins it.
#ifndef VMX_ON_SVM_NMI_H
#define VMX_ON_SVM_NMI_H

#include "apic.h"

namespace {

// Takes a pending NMI; NMIs are then blocked.  False if none was pending.
inline bool take_nmi(Cpu& cpu)
{
	cpu.state.nmi_taken = 0;
	vos_open_nmi_window();
	return __atomic_load_n(&cpu.state.nmi_taken, __ATOMIC_RELAXED);
}

// It is pending on return.
inline void send_nmi_to_self(const Cpu& cpu) { send_nmi(cpu.apic_id); }

inline void unblock_nmis() { vos_unblock_nmis(); }

inline void block_nmis(Cpu& cpu)
{
	// From a known state: whether NMIs are blocked already cannot be seen.
	unblock_nmis();
	const bool was_pending = take_nmi(cpu);
	if (was_pending) {
		// Now blocked, with one NMI lost: make it pending again.
		send_nmi_to_self(cpu);
		return;
	}
	send_nmi_to_self(cpu);
	take_nmi(cpu);
}

// Acknowledges the pending interrupt that made the guest exit, and gives its vector.  An NMI that comes in between is
// left pending.
inline u64 acknowledge_interrupt(Cpu& cpu)
{
	constexpr int kAttempts = 8;

	cpu.state.vector_taken = kNoVector;
	cpu.state.nmi_taken = 0;
	for (int attempt = 0; attempt < kAttempts; ++attempt) {
		vos_open_interrupt_window();
		if (__atomic_load_n(&cpu.state.vector_taken, __ATOMIC_RELAXED) != kNoVector)
			break;
	}
	if (__atomic_load_n(&cpu.state.nmi_taken, __ATOMIC_RELAXED)) {
		send_nmi_to_self(cpu);
		unblock_nmis();
	}
	return __atomic_load_n(&cpu.state.vector_taken, __ATOMIC_RELAXED);
}

}  // namespace

#endif
