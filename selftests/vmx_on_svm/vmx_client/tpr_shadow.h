// SPDX-License-Identifier: GPL-2.0
// The TPR shadow.  SDM Vol. 3C, sections 30.1.2 and 30.3, and 27.2.1.1.
#ifndef VMX_CLIENT_TPR_SHADOW_H
#define VMX_CLIENT_TPR_SHADOW_H

#include "blocking.h"
#include "entry_checks.h"

namespace {

inline void begin_with_tpr_shadow(const char* code, u8 tpr, u64 threshold, u64 proc = 0)
{
	Controls controls;
	controls.proc = proc | kProcTprShadow;
	begin_long_mode(controls, code);
	clear(context->data, kPage);
	context->data[0x80] = tpr;
	write(kVirtualApicAddress, vc_physical(context->data));
	write(kTprThreshold, threshold);
}

inline void test_tpr_shadow()
{
	{
		Test test("TPR shadow: CR8");
		begin_with_tpr_shadow(vc_guest_mov_to_cr8, 0, 0);
		registers.rbx = 5;
		test.equal("reason", run(), kVmcall);
		test.equal("virtual TPR", context->data[0x80], 0x50);
		start_at(vc_guest_mov_from_cr8);
		context->data[0x80] = 0x7f;
		test.equal("reason after MOV from CR8", run(), kVmcall);
		test.equal("RCX", registers.rcx, 7);
	}
	{
		Test test("TPR shadow: a value that CR8 cannot hold");
		begin_with_tpr_shadow(vc_guest_mov_to_cr8, 0x30, 0);
		write(kExceptionBitmap, bit(13));
		registers.rbx = 0x10;
		test.equal("reason", run(), kException);
		test.equal("virtual TPR", context->data[0x80], 0x30);
	}
	{
		Test test("TPR below threshold");
		begin_with_tpr_shadow(vc_guest_mov_to_cr8, 0x50, 3);
		registers.rbx = 3;
		test.equal("reason at the threshold", run(), kVmcall);
		start_at(vc_guest_mov_to_cr8);
		registers.rbx = 2;
		test.equal("reason", run(), kTprBelowThreshold);
		test.equal("RIP", offset_of(vc_guest_mov_to_cr8), 4);
		test.equal("virtual TPR", context->data[0x80], 0x20);
	}
	{
		Test test("TPR below threshold and RFLAGS.TF");
		begin_with_tpr_shadow(vc_guest_mov_to_cr8, 0x50, 3);
		write(kGuestRflags, 2 | kTrapFlag);
		test.equal("reason", run(), kTprBelowThreshold);
		test.equal("pending debug exceptions", read(kPendingDebug), kSingleStep);
	}
	{
		Test test("TPR shadow: CR8-load and CR8-store exiting");
		begin_with_tpr_shadow(vc_guest_mov_to_cr8, 0x50, 0, kProcCr8Load | kProcCr8Store);
		test.equal("reason", run(), kCrAccess);
		start_at(vc_guest_mov_from_cr8);
		test.equal("reason of MOV from CR8", run(), kCrAccess);
		test.equal("virtual TPR", context->data[0x80], 0x50);
	}
	{
		Test test("TPR shadow: checks of VM-entry");
		begin_with_tpr_shadow(vc_guest_vmcall, 0x2f, 0);
		with_field(test, "threshold above the TPR", kTprThreshold, 3, 7);
		with_field(test, "reserved bits of the threshold", kTprThreshold, 0x10, 7);
		with_field(test, "address", kVirtualApicAddress, 0x1008, 7);
		write(kTprThreshold, 2);
		test.equal("reason", run(), kVmcall);
	}
}

}  // namespace

#endif
