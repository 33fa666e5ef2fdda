// SPDX-License-Identifier: GPL-2.0
// The inactive states.
#ifndef VMX_CLIENT_HALTED_H
#define VMX_CLIENT_HALTED_H

#include "exceptions.h"

namespace {

constexpr u64 kHalted = 1, kShutdown = 2;

// One entry; an interrupt of the host's ends it.
inline void expect_interrupt(Test& test, const char* what, u64 activity)
{
	test.equal(what, enter_once(), kExternalInterrupt);
	test.equal("activity", read(kActivity), activity);
	handle_interrupt();
}

inline void test_halted()
{
	const Controls none;
	Controls window;
	window.proc = kProcInterruptWindow;
	{
		Test test("HLT that does not exit");
		begin_long_mode(none, vc_guest_hlt_nops);
		write(kGuestRflags, 0x202);
		// Those that were pending come first.
		for (unsigned i = 0; i < 20 && offset_of(vc_guest_hlt_nops) == 0; ++i) {
			if (enter_once() != kExternalInterrupt)
				break;
			handle_interrupt();
		}
		test.equal("activity", read(kActivity), kHalted);
		test.equal("RIP", offset_of(vc_guest_hlt_nops), 1);
		test.equal("interruptibility", read(kInterruptibility), 0);
		expect_interrupt(test, "still halted", kHalted);
		test.equal("RIP", offset_of(vc_guest_hlt_nops), 1);
		write(kActivity, 0);
		test.equal("active again", run(), kVmcall);
		test.equal("activity afterwards", read(kActivity), 0);
	}
	{
		Test test("interrupt window of a halted guest");
		begin_long_mode(window, vc_guest_nops);
		write(kGuestRflags, 0x202);
		write(kActivity, kHalted);
		test.equal("reason", run(), kInterruptWindow);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
		begin_long_mode(window, vc_guest_sti_hlt);
		test.equal("reason after STI and HLT", run(), kInterruptWindow);
		test.equal("RIP after STI and HLT", offset_of(vc_guest_sti_hlt), 2);
	}
	{
		Test test("NMI window of a halted guest");
		Controls controls;
		controls.pin |= kPinVirtualNmis;
		controls.proc = kProcNmiWindow;
		begin_long_mode(controls, vc_guest_nops);
		// A machine that stays halted gets interrupts, and the test ends.
		write(kGuestRflags, 0x202);
		write(kActivity, kHalted);
		test.equal("reason", run(), kNmiWindow);
	}
	{
		Test test("NMI window of a guest in shutdown");
		Controls controls;
		controls.pin |= kPinVirtualNmis;
		controls.proc = kProcNmiWindow | kProcInterruptWindow;
		begin_long_mode(controls, vc_guest_nops);
		write(kGuestRflags, 0x202);
		write(kActivity, kShutdown);
		test.equal("reason", enter_once(), kNmiWindow);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("an injected NMI ends shutdown");
		begin_long_mode(none, vc_guest_nops);
		write(kActivity, kShutdown);
		write(kEntryInfo, kInfoValid | 2 << 8 | 2);
		test.equal("reason", run_undisturbed(), kVmcall);
		test.equal("handler", handler_reached(), 2);
		test.equal("activity", read(kActivity), 0);
	}
	{
		Test test("an injected event wakes a halted guest");
		begin_long_mode(none, vc_guest_nops);
		write(kGuestRflags, 0x202);
		write(kActivity, kHalted);
		write(kEntryInfo, kInfoValid | 0x50);
		test.equal("reason", run_undisturbed(), kVmcall);
		test.equal("handler", handler_reached(), 0x50);
		test.equal("activity", read(kActivity), 0);
	}
}

}  // namespace

#endif
