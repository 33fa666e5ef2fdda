// SPDX-License-Identifier: GPL-2.0
// The VMX-preemption timer.  SDM Vol. 3C, sections 26.2, 26.5.1 and 27.7.4.
#ifndef VMX_CLIENT_PREEMPTION_TIMER_H
#define VMX_CLIENT_PREEMPTION_TIMER_H

#include "blocking.h"
#include "entry_checks.h"
#include "halted.h"

namespace {

constexpr u64 kShortTime = 1000, kLongTime = 0x7fffffff;

inline void begin_timed(const char* code, u64 value, Controls controls = Controls())
{
	controls.pin |= kPinPreemptionTimer;
	begin_long_mode(controls, code);
	write(kPreemptionTimer, value);
}

inline void test_preemption_timer()
{
	Controls saving;
	saving.exit |= kExitSavePreemptionTimer;
	{
		Test test("preemption timer of 0");
		begin_timed(vc_guest_nops, 0);
		test.equal("reason", run(), kPreemptionTimerExpired);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("preemption timer of 0, with an event injected");
		begin_timed(vc_guest_nops, 0);
		write(kEntryInfo, kInfoValid | 3 << 8 | 6);
		test.equal("reason", run_undisturbed(), kPreemptionTimerExpired);
		test.equal("RIP", read(kGuestRip) - address(vc_guest_handlers), u64{6} * 16);
		test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
	}
	{
		Test test("preemption timer ends a loop");
		begin_timed(vc_guest_spin, kShortTime, saving);
		test.equal("reason", run_unobserved(), kPreemptionTimerExpired);
		test.equal("value", read(kPreemptionTimer), 0);
	}
	{
		Test test("preemption timer: the value is saved");
		begin_timed(vc_guest_vmcall, kLongTime, saving);
		test.equal("reason", run(), kVmcall);
		test.check("less than at VM-entry", read(kPreemptionTimer) && read(kPreemptionTimer) <= kLongTime);
		begin_timed(vc_guest_vmcall, kLongTime);
		test.equal("reason without the control", run(), kVmcall);
		test.equal("value without the control", read(kPreemptionTimer), kLongTime);
	}
	{
		Test test("preemption timer of a halted guest");
		begin_timed(vc_guest_nops, kShortTime);
		write(kActivity, kHalted);
		test.equal("reason", run(), kPreemptionTimerExpired);
		test.equal("activity", read(kActivity), kHalted);
	}
	{
		Test test("preemption timer of a guest in shutdown");
		Controls window;
		window.proc = kProcInterruptWindow;
		begin_timed(vc_guest_nops, kShortTime, window);
		write(kGuestRflags, 0x202);
		write(kActivity, kShutdown);
		// Neither interrupts nor their window end this state.
		test.equal("reason", enter_once(), kPreemptionTimerExpired);
		test.equal("activity", read(kActivity), kShutdown);
	}
	{
		Test test("preemption timer: priority over the windows");
		Controls controls;
		controls.pin |= kPinVirtualNmis;
		controls.proc = kProcInterruptWindow | kProcNmiWindow;
		begin_timed(vc_guest_nops, 0, controls);
		write(kGuestRflags, 0x202);
		test.equal("reason", run(), kPreemptionTimerExpired);
	}
	{
		Test test("preemption timer: pending debug exceptions have priority over it");
		begin_timed(vc_guest_nops, 0);
		write(kExceptionBitmap, bit(1));
		write(kGuestRflags, 0x102);
		write(kPendingDebug, kSingleStep);
		test.equal("reason", run(), kException);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("preemption timer: saving its value without it");
		begin_long_mode(saving, vc_guest_vmcall);
		expect_entry_error(test, "VM-entry", 7);
	}
}

}  // namespace

#endif
