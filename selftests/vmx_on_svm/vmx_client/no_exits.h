// SPDX-License-Identifier: GPL-2.0
// Instructions that do not exit.
#ifndef VMX_CLIENT_NO_EXITS_H
#define VMX_CLIENT_NO_EXITS_H

#include "run.h"

namespace {

inline void test_no_exits()
{
	Controls secondary;
	secondary.proc2 = kProc2Rdtscp;
	{
		Test test("no exit: RDTSC with an offset");
		Controls controls;
		constexpr u64 kOffset = u64{1} << 50;
		controls.proc = kProcTscOffset;
		begin_long_mode(controls, vc_guest_rdtsc);
		write(kTscOffset, kOffset);
		test.equal("reason", run(), kVmcall);
		test.equal("offset", (registers.rdx << 32 | (registers.rax & 0xffffffff)) >> 50, 1);
	}
	{
		Test test("no exit: RDTSCP");
		begin_long_mode(secondary, vc_guest_rdtscp);
		test.equal("reason", run(), kVmcall);
		test.same("RCX", registers.rcx, msr(0xc0000103) & 0xffffffff);
	}
	{
		Test test("RDTSCP that is not enabled raises #UD");
		begin_long_mode(Controls(), vc_guest_rdtscp);
		write(kExceptionBitmap, bit(6));
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 3 << 8 | 6);
	}
	{
		Test test("no exit: PAUSE, WBINVD");
		begin_long_mode(secondary, vc_guest_pause);
		test.equal("reason after PAUSE", run(), kVmcall);
		start_at(vc_guest_wbinvd);
		test.equal("reason after WBINVD", run(), kVmcall);
	}
	{
		Test test("CR0: mask and shadow");
		constexpr u64 kTs = bit(3), kWp = bit(16);
		begin_long_mode(Controls(), vc_guest_mov_from_cr0);
		write(kCr0Mask, kWp);
		write(kCr0Shadow, 0);
		test.equal("MOV from CR0", run(), kVmcall);
		test.same("value read", registers.rax, host.cr0 & ~kWp);
		start_at(vc_guest_smsw);
		test.equal("SMSW", run(), kVmcall);
		test.same("value of SMSW", registers.rax, host.cr0 & ~kWp);
		start_at(vc_guest_mov_to_cr0);
		registers.rax = host.cr0;
		test.equal("MOV to CR0 that differs", run(), 28);
		test.equal("qualification", read(kQualification), 0);
		registers.rax = (host.cr0 & ~kWp) | kTs;
		test.equal("MOV to CR0 of unmasked bits", run(), kVmcall);
		test.same("guest CR0", read(kGuestCr0), host.cr0 | kTs);
		start_at(vc_guest_clts);
		test.equal("CLTS that does not exit", run(), kVmcall);
		test.same("guest CR0 after CLTS", read(kGuestCr0), host.cr0 & ~kTs);
		write(kCr0Mask, kTs);
		write(kCr0Shadow, kTs);
		start_at(vc_guest_clts);
		test.equal("CLTS that exits", run(), 28);
		test.equal("qualification of CLTS", read(kQualification), 2 << 4);
		test.equal("length of CLTS", read(kExitLength), 2);
	}
	{
		Test test("LMSW");
		begin_long_mode(Controls(), vc_guest_lmsw_register);
		write(kCr0Mask, 0xe);
		write(kCr0Shadow, 0);
		registers.rax = 0x1235;
		test.equal("reason", run(), 28);
		test.equal("qualification", read(kQualification), 3 << 4 | 0x1235 << 16);
		test.equal("length", read(kExitLength), 3);
		start_at(vc_guest_lmsw_memory);
		registers.rdi = address(context->data);
		*reinterpret_cast<u16*>(context->data) = 0x8003;
		test.equal("reason with a memory operand", run(), 28);
		test.equal("qualification with a memory operand", read(kQualification),
			   3 << 4 | 1 << 6 | u64{0x8003} << 16);
		test.equal("guest-linear address", read(kGuestLinearAddress), address(context->data));
	}
	{
		Test test("CR4: mask and shadow");
		constexpr u64 kTsd = bit(2), kVmxe = bit(13);
		begin_long_mode(Controls(), vc_guest_mov_from_cr4);
		write(kCr4Mask, kVmxe | kTsd);
		write(kCr4Shadow, 0);
		test.equal("MOV from CR4", run(), kVmcall);
		test.same("value read", registers.rax, host.cr4 & ~(kVmxe | kTsd));
		start_at(vc_guest_mov_to_cr4);
		registers.rax = host.cr4 | kTsd;
		test.equal("MOV to CR4 that differs", run(), 28);
		test.equal("qualification", read(kQualification), 4);
	}
	{
		Test test("CR3: targets");
		Controls controls;
		controls.proc = kProcCr3Load;
		begin_long_mode(controls, vc_guest_mov_to_cr3);
		write(kCr3TargetCount, 1);
		write(kCr3Target0, host.cr3);
		registers.r15 = host.cr3;
		test.equal("reason", run(), kVmcall);
	}
	{
		Test test("MSR bitmap");
		Controls controls;
		controls.proc = kProcMsrBitmaps;
		clear(context->msr_bitmap, kPage);
		begin_long_mode(controls, vc_guest_rdmsr);
		registers.rcx = 0x174;
		write(kGuestSysenterCs, 0x55);
		test.equal("reason without the bit", run(), kVmcall);
		test.equal("value", registers.rax, 0x55);
		context->msr_bitmap[0x174 / 8] = 1 << (0x174 & 7);
		start_at(vc_guest_rdmsr);
		registers.rcx = 0x174;
		test.equal("reason with the bit", run(), 31);
		clear(context->msr_bitmap, kPage);
		context->msr_bitmap[0xc00 + 0x82 / 8] = 1 << (0x82 & 7);
		start_at(vc_guest_wrmsr);
		registers.rcx = 0xc0000082;
		test.equal("WRMSR of the high range", run(), 32);
		start_at(vc_guest_rdmsr);
		registers.rcx = 0x40000123;
		test.equal("MSR outside the ranges", run(), 31);
		clear(context->msr_bitmap, kPage);
		start_at(vc_guest_rdmsr);
		registers.rcx = 0xc0000080;
		test.equal("EFER", run(), kVmcall);
		test.same("value of EFER", registers.rax, host.efer);
	}
	{
		Test test("I/O bitmaps");
		Controls controls;
		controls.proc = kProcIoBitmaps;
		clear(context->io_bitmap_a, kPage);
		clear(context->io_bitmap_b, kPage);
		begin_long_mode(controls, vc_guest_out_dx);
		registers.rdx = 0x80;
		test.equal("reason without the bit", run(), kVmcall);
		context->io_bitmap_a[0x80 / 8] = 1;
		start_at(vc_guest_out_dx);
		test.equal("reason with the bit", run(), 30);
		context->io_bitmap_b[0] = 1;
		registers.rdx = 0x8000;
		test.equal("reason with the bit in bitmap B", run(), 30);
	}
}

}  // namespace

#endif
