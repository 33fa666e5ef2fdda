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

// Without virtual NMIs blocking by NMI is that of the CPU.
inline bool blocks_nmis_itself(const Cpu& cpu) { return cpu.nmi_blocked && !(cpu.pin_controls & kPinVirtualNmis); }

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

// While a guest runs: takes an NMI of the monitor's own.
inline void take_own_nmi(Cpu& cpu)
{
	const bool blocked = blocks_nmis_itself(cpu);
	if (blocked)
		unblock_nmis();
	const bool taken = take_nmi(cpu);
	if (!blocked)
		unblock_nmis();
	else if (!taken)
		block_nmis(cpu);
	// The CPU makes one of two that are pending.
	if (__atomic_exchange_n(&cpu.nmi_sent, false, __ATOMIC_SEQ_CST))
		send_nmi_to_self(cpu);
}

// Before a guest runs: whether an NMI has been sent and not been taken is known again.
inline void forget_taken_nmis(Cpu& cpu)
{
	if (!__atomic_exchange_n(&cpu.nmi_sent, false, __ATOMIC_SEQ_CST) || !take_nmi(cpu))
		return;
	unblock_nmis();
	__atomic_store_n(&cpu.nmi_sent, true, __ATOMIC_SEQ_CST);
	send_nmi_to_self(cpu);
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
