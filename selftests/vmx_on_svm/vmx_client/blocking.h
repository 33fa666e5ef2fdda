// SPDX-License-Identifier: GPL-2.0
// Blocking by STI and MOV SS, pending debug exceptions, and single-stepping.  SDM Vol. 3C, sections 27.7.3 and 28.3.4.
#ifndef VMX_CLIENT_BLOCKING_H
#define VMX_CLIENT_BLOCKING_H

#include "exceptions.h"

namespace {

constexpr u64 kTrapFlag = bit(8), kInterruptFlag = bit(9);
constexpr u64 kBySti = bit(0), kByMovSs = bit(1);
constexpr u64 kSingleStep = bit(14), kEnabledBreakpoint = bit(12);

inline void begin_blocked(const char* code, u64 blocking, u64 pending, u64 rflags, u64 proc = 0)
{
	Controls controls;
	controls.proc = proc;
	begin_long_mode(controls, code);
	write(kExceptionBitmap, bit(1));
	write(kInterruptibility, blocking);
	write(kPendingDebug, pending);
	write(kGuestRflags, 2 | rflags);
	registers.rdx = host.ss;
}

inline void test_blocking_by_execution()
{
	{
		Test test("blocking by STI at an exit");
		begin_blocked(vc_guest_sti_cpuid, 0, 0, 0);
		test.equal("reason", run(), kCpuid);
		test.equal("interruptibility", read(kInterruptibility), kBySti);
		test.equal("goes on", run(), kCpuid);
	}
	{
		Test test("blocking by MOV SS at an exit");
		begin_blocked(vc_guest_mov_ss_cpuid, 0, 0, kInterruptFlag);
		test.equal("reason", run(), kCpuid);
		test.equal("interruptibility", read(kInterruptibility), kByMovSs);
	}
	{
		Test test("STI when interrupts are enabled blocks nothing");
		begin_blocked(vc_guest_sti_cpuid, 0, 0, kInterruptFlag);
		test.equal("reason", run(), kCpuid);
		test.equal("interruptibility", read(kInterruptibility), 0);
	}
	{
		Test test("single step over MOV SS");
		begin_blocked(vc_guest_mov_ss_nops, 0, 0, kTrapFlag);
		test.equal("reason", run(), kException);
		test.equal("qualification", read(kQualification), kSingleStep);
		test.equal("RIP", offset_of(vc_guest_mov_ss_nops), 3);
		test.equal("interruptibility", read(kInterruptibility), 0);
	}
	{
		Test test("single step over MOV SS, in the guest");
		begin_blocked(vc_guest_mov_ss_nops, 0, 0, kTrapFlag);
		write(kExceptionBitmap, 0);
		test.equal("reason", run_undisturbed(), kVmcall);
		test.equal("handler", handler_reached(), 1);
		const u64* const frame = reinterpret_cast<u64*>(read(kGuestRsp));
		test.equal("RIP pushed", frame[0] - address(vc_guest_mov_ss_nops), 3);
		test.equal("RFLAGS pushed", frame[2], 2 | kTrapFlag);
	}
	{
		Test test("single step over MOV SS and an instruction that exits");
		begin_blocked(vc_guest_mov_ss_cpuid, 0, 0, kTrapFlag);
		test.equal("reason", run(), kCpuid);
		test.equal("interruptibility", read(kInterruptibility), kByMovSs);
		test.equal("pending debug exceptions", read(kPendingDebug), kSingleStep);
	}
	{
		Test test("single step over STI");
		begin_blocked(vc_guest_sti_nops, 0, 0, kTrapFlag);
		test.equal("reason", run(), kException);
		test.equal("RIP", offset_of(vc_guest_sti_nops), 1);
	}
}

inline void test_blocking_at_entry()
{
	{
		Test test("blocking by MOV SS holds back a single step");
		begin_blocked(vc_guest_nops, kByMovSs, kSingleStep, kTrapFlag);
		test.equal("reason", run(), kException);
		test.equal("qualification", read(kQualification), kSingleStep);
		test.equal("RIP", offset_of(vc_guest_nops), 1);
		test.equal("RFLAGS", read(kGuestRflags), 2 | kTrapFlag);
	}
	{
		Test test("blocking by MOV SS holds back a breakpoint");
		begin_blocked(vc_guest_nops, kByMovSs, kEnabledBreakpoint | 2, 0);
		test.equal("reason", run(), kException);
		test.equal("qualification", read(kQualification), 2);
		test.equal("RIP", offset_of(vc_guest_nops), 1);
		test.equal("RFLAGS", read(kGuestRflags), 2);
	}
	{
		Test test("blocking by MOV SS at VM-entry is there at an exit");
		begin_blocked(vc_guest_cpuid_nop, kByMovSs, 0, 0);
		test.equal("reason", run(), kCpuid);
		test.equal("interruptibility", read(kInterruptibility), kByMovSs);
		write(kGuestRip, read(kGuestRip) + 2);
		write(kInterruptibility, 0);
		test.equal("goes on", run(), kVmcall);
		test.equal("interruptibility afterwards", read(kInterruptibility), 0);
	}
	{
		Test test("blocking by STI at VM-entry is there at an exit");
		begin_blocked(vc_guest_cpuid_nop, kBySti, 0, kInterruptFlag);
		test.equal("reason", run(), kCpuid);
		test.equal("interruptibility", read(kInterruptibility), kBySti);
	}
	{
		Test test("blocking by STI holds no debug exception back");
		begin_blocked(vc_guest_nops, kBySti, kSingleStep, kTrapFlag | kInterruptFlag);
		test.equal("reason", run(), kException);
		test.equal("qualification", read(kQualification), kSingleStep);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("pending breakpoint");
		begin_blocked(vc_guest_nops, 0, kEnabledBreakpoint | 1, 0);
		test.equal("reason", run(), kException);
		test.equal("qualification", read(kQualification), 1);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("pending breakpoint that is not enabled");
		begin_blocked(vc_guest_nops, 0, 1, 0);
		test.equal("reason", run(), kVmcall);
	}
	{
		Test test("pending debug exceptions are lost by an injection");
		begin_blocked(vc_guest_nops, 0, kSingleStep, kTrapFlag);
		write(kEntryInfo, kInfoValid | 3 << 8 | 6);
		test.equal("reason", run_undisturbed(), kVmcall);
		test.equal("handler", handler_reached(), 6);
	}
	{
		Test test("pending debug exception in the guest");
		begin_blocked(vc_guest_nops, 0, kSingleStep, kTrapFlag);
		write(kExceptionBitmap, 0);
		test.equal("reason", run_undisturbed(), kVmcall);
		test.equal("handler", handler_reached(), 1);
	}
}

// What VM-entry has to do for blocking must not be seen by the guest.
inline void test_blocked_instructions()
{
	{
		Test test("PUSHF while STI blocks");
		begin_blocked(vc_guest_pushf, kBySti, 0, kInterruptFlag, kProcInterruptWindow);
		test.equal("reason", run(), kInterruptWindow);
		test.equal("RIP", offset_of(vc_guest_pushf), 1);
		test.equal("flags pushed", *reinterpret_cast<u64*>(read(kGuestRsp)), 2 | kInterruptFlag);
	}
	{
		Test test("POPF while STI blocks");
		begin_blocked(vc_guest_popf, kBySti, 0, kInterruptFlag, kProcInterruptWindow);
		u64* const top = reinterpret_cast<u64*>(context->stack + 2040);
		*top = 2 | kInterruptFlag | kTrapFlag | 1;
		write(kGuestRsp, address(top));
		test.equal("reason", run(), kInterruptWindow);
		test.equal("RFLAGS", read(kGuestRflags), 2 | kInterruptFlag | kTrapFlag | 1);
		test.equal("RIP", offset_of(vc_guest_popf), 1);
	}
	{
		Test test("an exception while MOV SS blocks");
		begin_blocked(vc_guest_ud2, kByMovSs, 0, kInterruptFlag, kProcInterruptWindow);
		write(kExceptionBitmap, bit(6));
		test.equal("reason", run(), kException);
		test.equal("interruptibility", read(kInterruptibility), kByMovSs);
		test.equal("RFLAGS", read(kGuestRflags), 2 | bit(16) | kInterruptFlag);
	}
	{
		Test test("NMI window: blocking by MOV SS at VM-entry");
		Controls controls;
		controls.pin |= kPinVirtualNmis;
		controls.proc = kProcNmiWindow;
		begin_long_mode(controls, vc_guest_nops);
		write(kInterruptibility, kByMovSs);
		test.equal("reason", run(), kNmiWindow);
		test.equal("RIP", offset_of(vc_guest_nops), 1);
	}
}

}  // namespace

#endif
