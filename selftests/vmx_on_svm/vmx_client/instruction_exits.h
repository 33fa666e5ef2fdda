// SPDX-License-Identifier: GPL-2.0
// Instructions that exit.
#ifndef VMX_CLIENT_INSTRUCTION_EXITS_H
#define VMX_CLIENT_INSTRUCTION_EXITS_H

#include "run.h"

namespace {

constexpr u64 kUndefined = ~u64{0} - 1;

inline void test_one_exit(const char* name, const char* code, const Controls& controls, u32 reason, u32 length,
			  u64 qualification = 0, u64 instruction_info = 0, u64 info_mask = 0)
{
	Test test(name);
	begin_long_mode(controls, code);
	registers.rbx = 0x5000;
	registers.rdi = 0x60;
	registers.rdx = 0x1f0;
	registers.rsi = 0x7000;
	registers.rax = 0xe;
	registers.r15 = 0x1000;
	test.equal("reason", run(), reason);
	test.equal("length", read(kExitLength), length);
	if (qualification != kUndefined)
		test.equal("qualification", read(kQualification), qualification);
	test.equal("RIP", offset_of(code), 0);
	test.equal("instruction information", read(kInstructionInfo) & info_mask, instruction_info);
	test.equal("interruption information is valid", read(kExitInfo) >> 31, 0);
	test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
	test.equal("RFLAGS", read(kGuestRflags), 2);
	test.equal("interruptibility", read(kInterruptibility), 0);
	test.equal("activity", read(kActivity), 0);
	test.equal("RSP", read(kGuestRsp), address(context->stack) + 2048);
}

constexpr u64 kMemoryInfo = 0x7fff | 0x3 << 15 | 0xff80000, kSegmentInfo = 7 << 15;

inline void test_instruction_exits()
{
	const Controls none;
	auto with = [](u64 proc) {
		Controls controls;
		controls.proc = proc;
		return controls;
	};
	Controls secondary;
	secondary.proc2 = kProc2Rdtscp | kProc2Wbinvd;
	Controls rdtscp_exit = secondary;
	rdtscp_exit.proc = kProcRdtsc;

	test_one_exit("exit: CPUID", vc_guest_cpuid, none, 10, 2);
	test_one_exit("exit: HLT", vc_guest_hlt, with(kProcHlt), 12, 1);
	test_one_exit("exit: INVD", vc_guest_invd, none, 13, 2);
	test_one_exit("exit: INVLPG", vc_guest_invlpg, with(kProcInvlpg), 14, 5, 0x50d0);
	test_one_exit("exit: INVLPG with a GS override", vc_guest_invlpg_gs, with(kProcInvlpg), 14, 5, kGsBase + 0x2e);
	test_one_exit("exit: RDPMC", vc_guest_rdpmc, with(kProcRdpmc), 15, 2);
	test_one_exit("exit: RDTSC", vc_guest_rdtsc, with(kProcRdtsc), 16, 2);
	test_one_exit("exit: VMCALL", vc_guest_vmcall, none, 18, 3);
	test_one_exit("exit: VMLAUNCH", vc_guest_vmlaunch, none, 20, 3);
	test_one_exit("exit: VMRESUME", vc_guest_vmresume, none, 24, 3);
	test_one_exit("exit: VMXOFF", vc_guest_vmxoff, none, 26, 3);
	// Table 28-13: scaling 2, 64 bits, DS, index RCX, base RBX.
	test_one_exit("exit: VMCLEAR", vc_guest_vmclear, none, 19, 6, 0x18, 2 | 2 << 7 | 3 << 15 | 1 << 18 | 3 << 23,
		      0x0fff8783 & ~u64{0x400});
	test_one_exit("exit: VMPTRLD", vc_guest_vmptrld, none, 21, 5, 8, 2 << 7 | 2 << 15 | bit(22) | 4 << 23,
		      0xfc78380);
	test_one_exit("exit: VMPTRST", vc_guest_vmptrst, none, 22, 6, -0x10, 2 << 7 | 5 << 15 | bit(22) | 13 << 23,
		      0xfc78380);
	test_one_exit("exit: VMREAD to a register", vc_guest_vmread_register, none, 23, 3, kUndefined,
		      3 << 3 | bit(10) | 0u << 28, 0xf0000478);
	test_one_exit("exit: VMREAD to memory", vc_guest_vmread_memory, none, 23, 5, 0x20,
		      2 << 7 | 3 << 15 | bit(22) | 6 << 23 | 9ul << 28, 0xffc78780 & ~u64{0x400});
	test_one_exit("exit: VMWRITE", vc_guest_vmwrite, none, 25, 4, kUndefined, 12 << 3 | bit(10) | 2ul << 28,
		      0xf0000478);
	test_one_exit("exit: VMXON", vc_guest_vmxon, none, 27, 4, 0, 2 << 7 | 3 << 15 | bit(22) | 7 << 23, 0xfc78380);
	test_one_exit("exit: INVEPT", vc_guest_invept, none, 50, 5, 0, 2 << 7 | 3 << 15 | bit(22) | 7 << 23,
		      0xffc78380);
	test_one_exit("exit: INVVPID", vc_guest_invvpid, none, 53, 6, 4,
		      2 << 7 | 3 << 15 | bit(22) | 7 << 23 | 1ul << 28, 0xffc78380);
	test_one_exit("exit: MOV to CR3", vc_guest_mov_to_cr3, with(kProcCr3Load), 28, 4, 3 | 15 << 8);
	test_one_exit("exit: MOV from CR3", vc_guest_mov_from_cr3, with(kProcCr3Store), 28, 4, 3 | 1 << 4 | 14 << 8);
	test_one_exit("exit: MOV to CR8", vc_guest_mov_to_cr8, with(kProcCr8Load), 28, 4, 8 | 3 << 8);
	test_one_exit("exit: MOV from CR8", vc_guest_mov_from_cr8, with(kProcCr8Store), 28, 4, 8 | 1 << 4 | 1 << 8);
	test_one_exit("exit: MOV to DR3", vc_guest_mov_to_dr, with(kProcMovDr), 29, 3, 3 | 6 << 8);
	test_one_exit("exit: MOV from DR7", vc_guest_mov_from_dr, with(kProcMovDr), 29, 4, 7 | 1 << 4 | 10 << 8);
	test_one_exit("exit: OUT DX, AL", vc_guest_out_dx, with(kProcIo), 30, 1, 0x1f0 << 16);
	test_one_exit("exit: IN EAX, imm8", vc_guest_in_immediate, with(kProcIo), 30, 2,
		      3 | 1 << 3 | 1 << 6 | 0x71 << 16);
	test_one_exit("exit: OUT imm8, AX", vc_guest_out_immediate, with(kProcIo), 30, 3, 1 | 1 << 6 | 0x72 << 16);
	test_one_exit("exit: RDMSR", vc_guest_rdmsr, none, 31, 2);
	test_one_exit("exit: WRMSR", vc_guest_wrmsr, none, 32, 2);
	test_one_exit("exit: MWAIT", vc_guest_mwait, with(kProcMwait), 36, 3);
	test_one_exit("exit: MONITOR", vc_guest_monitor, with(kProcMonitor), 39, 3);
	test_one_exit("exit: PAUSE", vc_guest_pause, with(kProcPause), 40, 2);
	test_one_exit("exit: RDTSCP", vc_guest_rdtscp, rdtscp_exit, 51, 3);
	test_one_exit("exit: WBINVD", vc_guest_wbinvd, secondary, 54, 2);
	test_one_exit("exit: XSETBV", vc_guest_xsetbv, none, 55, 3);

	test_one_exit("exit: REP OUTSB", vc_guest_rep_outsb, with(kProcIo), 30, 2, 1 << 4 | 1 << 5 | 0x1f0 << 16,
		      2 << 7 | 3 << 15, 7 << 7 | kSegmentInfo);
	{
		Test test("exit: linear address of REP OUTSB");
		test.equal("guest-linear address", read(kGuestLinearAddress), 0x7000);
	}
	test_one_exit("exit: OUTSL with a GS override", vc_guest_outsl_gs, with(kProcIo), 30, 2,
		      3 | 1 << 4 | 0x1f0 << 16, 2 << 7 | 5 << 15, 7 << 7 | kSegmentInfo);
	{
		Test test("exit: linear address of OUTSL with a GS override");
		test.equal("guest-linear address", read(kGuestLinearAddress), 0x7000 + kGsBase);
	}
	test_one_exit("exit: REP INSW with 32-bit addresses", vc_guest_rep_insw, with(kProcIo), 30, 4,
		      1 | 1 << 3 | 1 << 4 | 1 << 5 | 0x1f0 << 16, 1 << 7, 7 << 7);
	{
		Test test("exit: linear address of REP INSW");
		test.equal("guest-linear address", read(kGuestLinearAddress), 0x60);
	}
}

}  // namespace

#endif
