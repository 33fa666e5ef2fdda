// SPDX-License-Identifier: GPL-2.0
// TSC scaling, and loops of PAUSE.  SDM Vol. 3C, sections 25.6.5 and 26.1.3.
#ifndef VMX_CLIENT_TIMING_H
#define VMX_CLIENT_TIMING_H

#include "entry_checks.h"

namespace {

inline u64 guest_time() { return registers.rdx << 32 | (registers.rax & 0xffffffff); }

inline void test_tsc_scaling()
{
	// With this multiplier a TSC below 2^48 is 0.
	constexpr u64 kToZero = 1, kOffset = 0x123456789ab;
	Controls controls;
	controls.proc = kProcTscOffset | kProcMsrBitmaps;
	controls.proc2 = kProc2TscScaling | kProc2Rdtscp;
	{
		Test test("TSC scaling");
		begin_long_mode(controls, vc_guest_rdtsc);
		write(kTscMultiplier, kToZero);
		write(kTscOffset, kOffset);
		test.equal("reason", run(), kVmcall);
		test.equal("RDTSC", guest_time(), kOffset);
		start_at(vc_guest_rdtscp);
		test.equal("reason of RDTSCP", run(), kVmcall);
		test.equal("RDTSCP", guest_time(), kOffset);
		start_at(vc_guest_rdmsr);
		registers.rcx = 0x10;
		test.equal("reason of RDMSR", run(), kVmcall);
		test.equal("RDMSR", guest_time(), kOffset);
		write(kTscMultiplier, bit(48));
		write(kTscOffset, bit(50));
		start_at(vc_guest_rdtsc);
		test.equal("reason with a multiplier of 1.0", run(), kVmcall);
		test.equal("offset", guest_time() >> 50, 1);
		test.check("time", guest_time() & (bit(50) - 1));
	}
	{
		Test test("TSC scaling without TSC offsetting");
		controls.proc = 0;
		begin_long_mode(controls, vc_guest_rdtsc);
		write(kTscMultiplier, kToZero);
		test.equal("reason", run(), kVmcall);
		test.check("time", guest_time() > 1);
	}
}

inline void test_pause_loops()
{
	constexpr u64 kNever = ~u32{0};
	Controls controls;
	controls.proc2 = kProc2PauseLoop;
	{
		Test test("PAUSE-loop exiting");
		begin_long_mode(controls, vc_guest_spin);
		write(kPleGap, kNever);
		write(kPleWindow, 1000);
		test.equal("reason", run(), kPause);
		test.equal("RIP", offset_of(vc_guest_spin), 0);
		test.equal("length", read(kExitLength), 2);
	}
	{
		Test test("PAUSE-loop exiting: a loop that is short enough");
		begin_long_mode(controls, vc_guest_pause);
		write(kPleGap, kNever);
		write(kPleWindow, kNever);
		test.equal("reason", run(), kVmcall);
	}
	{
		Test test("PAUSE exiting takes no account of the loop");
		controls.proc = kProcPause;
		begin_long_mode(controls, vc_guest_pause);
		write(kPleGap, kNever);
		write(kPleWindow, kNever);
		test.equal("reason", run(), kPause);
	}
}

}  // namespace

#endif
