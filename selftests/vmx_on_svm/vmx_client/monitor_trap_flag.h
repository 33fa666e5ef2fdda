// SPDX-License-Identifier: GPL-2.0
// The monitor trap flag.  SDM Vol. 3C, sections 26.5.2 and 27.7.8.
#ifndef VMX_CLIENT_MONITOR_TRAP_FLAG_H
#define VMX_CLIENT_MONITOR_TRAP_FLAG_H

#include "blocking.h"
#include "entry_checks.h"
#include "halted.h"

namespace {

inline void begin_trapped(const char* code, u64 proc = 0)
{
	Controls controls;
	controls.proc = proc | kProcMonitorTrapFlag;
	begin_long_mode(controls, code);
	registers.rdx = host.ss;
}

inline void expect_trap(Test& test, const char* what, const char* code, u64 rip)
{
	test.equal(what, run(), kMonitorTrap);
	test.equal("RIP", offset_of(code), rip);
}

inline void expect_trap_in_handler(Test& test, const char* what, unsigned vector)
{
	test.equal(what, run_undisturbed(), kMonitorTrap);
	test.equal("RIP", read(kGuestRip) - address(vc_guest_handlers), u64{16} * vector);
}

// What SYSCALL and SYSRET leave in the segment registers is not what the host has: each is the last test of its guest.
inline void test_traps_of_system_calls()
{
	constexpr u32 kStar = 0xc0000081, kLstar = 0xc0000082, kSyscallMask = 0xc0000084;
	{
		Test test("monitor trap flag: SYSCALL");
		begin_trapped(vc_guest_syscall);
		test.equal("reason", run_unobserved(), kMonitorTrap);
		test.same("RIP", read(kGuestRip), msr(kLstar));
		test.equal("R11", registers.r11, 2);
		test.equal("RFLAGS", read(kGuestRflags), 2);
		test.same("CS", read(kGuestCsSelector), msr(kStar) >> 32 & 0xfffc);
		test.check("the mask has RFLAGS.TF", msr(kSyscallMask) & kTrapFlag);
	}
	{
		Test test("monitor trap flag: SYSCALL with RFLAGS.TF");
		begin_trapped(vc_guest_syscall);
		write(kGuestRflags, 2 | kTrapFlag);
		test.equal("reason", run_unobserved(), kMonitorTrap);
		test.equal("R11", registers.r11, 2 | kTrapFlag);
		test.equal("RFLAGS", read(kGuestRflags), 2);
	}
	{
		Test test("monitor trap flag: SYSRET");
		begin_trapped(vc_guest_sysret);
		registers.rcx = 0x123456;
		registers.r11 = 2;
		test.equal("reason", run(), kMonitorTrap);
		test.equal("RIP", read(kGuestRip), 0x123456);
		test.equal("R11", registers.r11, 2);
		test.equal("RFLAGS", read(kGuestRflags), 2);
		test.equal("DPL of SS", read(kGuestSsAccess) >> 5 & 3, 3);
	}
}

inline void test_monitor_trap_flag()
{
	{
		Test test("monitor trap flag");
		begin_trapped(vc_guest_nops);
		expect_trap(test, "reason", vc_guest_nops, 1);
		test.equal("RFLAGS", read(kGuestRflags), 2);
		test.equal("pending debug exceptions", read(kPendingDebug), 0);
		expect_trap(test, "next instruction", vc_guest_nops, 2);
	}
	{
		Test test("monitor trap flag and RFLAGS.TF");
		begin_trapped(vc_guest_nops);
		write(kExceptionBitmap, bit(1));
		write(kGuestRflags, 2 | kTrapFlag);
		expect_trap(test, "reason", vc_guest_nops, 1);
		test.equal("RFLAGS", read(kGuestRflags), 2 | kTrapFlag);
		test.equal("pending debug exceptions", read(kPendingDebug), kSingleStep);
		test.equal("afterwards", run(), kException);
		test.equal("RIP afterwards", offset_of(vc_guest_nops), 1);
	}
	{
		Test test("monitor trap flag: MOV SS");
		begin_trapped(vc_guest_mov_ss_nops);
		expect_trap(test, "reason", vc_guest_mov_ss_nops, 2);
		test.equal("interruptibility", read(kInterruptibility), kByMovSs);
		expect_trap(test, "next instruction", vc_guest_mov_ss_nops, 3);
		test.equal("interruptibility afterwards", read(kInterruptibility), 0);
	}
	{
		Test test("monitor trap flag: injected event");
		begin_trapped(vc_guest_nops);
		write(kEntryInfo, kInfoValid | 3 << 8 | 6);
		expect_trap_in_handler(test, "reason", 6);
		test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
	}
	{
		Test test("monitor trap flag: pending at VM-entry");
		begin_long_mode(Controls(), vc_guest_nops);
		write(kEntryInfo, kInfoValid | 7 << 8);
		expect_trap(test, "reason", vc_guest_nops, 0);
		write(kEntryInfo, kInfoValid | 7 << 8 | 1);
		expect_entry_error(test, "with another vector", 7);
	}
	{
		Test test("monitor trap flag: events of the guest", false);
		begin_trapped(vc_guest_ud2);
		expect_trap_in_handler(test, "#UD", 6);
		start_at(vc_guest_int3);
		expect_trap_in_handler(test, "INT3", 3);
		start_at(vc_guest_int_n);
		expect_trap_in_handler(test, "INT n", 0x42);
		const u64* const frame = reinterpret_cast<u64*>(read(kGuestRsp));
		test.equal("RIP pushed", frame[0] - address(vc_guest_int_n), 2);
		test.equal("RFLAGS pushed", frame[2], 2);
	}
	{
		Test test("monitor trap flag: PUSHF and POPF");
		begin_trapped(vc_guest_pushf);
		expect_trap(test, "PUSHF", vc_guest_pushf, 1);
		u64* const stack = reinterpret_cast<u64*>(read(kGuestRsp));
		test.equal("image", *stack, 2);
		*stack = 2 | kTrapFlag;
		start_at(vc_guest_popf);
		expect_trap(test, "POPF", vc_guest_popf, 1);
		test.equal("RFLAGS", read(kGuestRflags), 2 | kTrapFlag);
		test.equal("pending debug exceptions", read(kPendingDebug), 0);
	}
	{
		Test test("monitor trap flag: instructions that may exit");
		begin_trapped(vc_guest_rdmsr, kProcMsrBitmaps);
		registers.rcx = 0x277;
		expect_trap(test, "RDMSR", vc_guest_rdmsr, 2);
		start_at(vc_guest_mov_from_cr0);
		expect_trap(test, "MOV from CR0", vc_guest_mov_from_cr0, 3);
		start_at(vc_guest_cpuid);
		test.equal("CPUID", run(), kCpuid);
	}
	{
		Test test("monitor trap flag: each iteration of REP");
		begin_trapped(vc_guest_rep_stosb);
		registers.rdi = address(context->data);
		registers.rcx = 2;
		expect_trap(test, "first", vc_guest_rep_stosb, 0);
		test.equal("RCX", registers.rcx, 1);
		expect_trap(test, "last", vc_guest_rep_stosb, 2);
		test.equal("RCX", registers.rcx, 0);
	}
	{
		Test test("monitor trap flag: HLT");
		begin_trapped(vc_guest_hlt_nops);
		expect_trap(test, "reason", vc_guest_hlt_nops, 1);
		test.equal("activity", read(kActivity), kHalted);
	}
	test_traps_of_system_calls();
}

}  // namespace

#endif
