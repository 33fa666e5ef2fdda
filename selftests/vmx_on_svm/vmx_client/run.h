// SPDX-License-Identifier: GPL-2.0
// VM-entry, and the VM-exits that are the host's own business.
#ifndef VMX_CLIENT_RUN_H
#define VMX_CLIENT_RUN_H

#include "guest_state.h"

namespace {

inline u32 enter_once()
{
	const int outcome = vc_enter(&registers, launched);
	if (outcome)
		return kEntryFailed + outcome;
	const u32 reason = read(kExitReason);
	if (!(reason & kFailedEntry))
		launched = true;
	check_host_state();
	return reason;
}

inline u64 interrupt_handler(unsigned vector)
{
	const u8* const gate = reinterpret_cast<const u8*>(host.idtr.base + u64{16} * vector);
	u32 high = 0;
	copy(&high, gate + 8, sizeof(high));
	return gate[0] | gate[1] << 8 | u64{gate[6]} << 16 | u64{gate[7]} << 24 | u64{high} << 32;
}

inline void handle_interrupt()
{
	const u32 info = read(kExitInfo);
	if (info & kInfoValid)
		vc_call_interrupt_handler(interrupt_handler(info & 0xff));
	else
		vc_interrupts_on_and_off();
}

// Runs the guest to the next exit that is not an interrupt of the host's.  The caller observes what it has of the machine.
inline u32 run_unobserved()
{
	constexpr unsigned kInterrupts = 100;  // more than any of these guests needs
	u32 reason = kExternalInterrupt;
	for (unsigned i = 0; i < kInterrupts && reason == kExternalInterrupt; ++i) {
		reason = enter_once();
		if (reason == kExternalInterrupt)
			handle_interrupt();
	}
	return reason;
}

inline u32 run()
{
	const u32 reason = run_unobserved();
	if (reason != kExternalInterrupt)
		observe_exit(reason);
	return reason;
}

// For a guest that takes an exception itself: begins anew when an interrupt of the host's comes between.  With several CPUs an
// emulator may save the RIP of an exit that comes right behind the delivery as it was before, so that the guest takes it twice.
inline u32 run_undisturbed()
{
	constexpr Field kChanged[] = {kGuestRip,         kGuestRsp,     kGuestRflags, kActivity,
				      kInterruptibility, kPendingDebug, kEntryInfo};
	constexpr unsigned kCount = sizeof(kChanged) / sizeof(kChanged[0]), kAttempts = 100;
	u64 values[kCount];
	for (unsigned i = 0; i < kCount; ++i)
		values[i] = read(kChanged[i]);
	const vc_registers before = registers;
	u32 reason = enter_once();
	for (unsigned attempt = 1; attempt < kAttempts && reason == kExternalInterrupt; ++attempt) {
		handle_interrupt();
		for (unsigned i = 0; i < kCount; ++i)
			write(kChanged[i], values[i]);
		registers = before;
		reason = enter_once();
	}
	if (reason != kExternalInterrupt)
		observe_exit(reason);
	return reason;
}

// VM-entry that is expected to fail.
inline u32 try_entry()
{
	const u32 reason = enter_once();
	observe_exit(reason);
	return reason;
}

// Where the guest goes on.
inline void start_at(const char* code)
{
	guest_code = code;
	write(kGuestRip, address(code));
}

inline u64 offset_of(const char* code) { return read(kGuestRip) - address(code); }

}  // namespace

#endif
