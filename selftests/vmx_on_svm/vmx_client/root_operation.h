// SPDX-License-Identifier: GPL-2.0
// The VMX instructions in VMX root operation.
#ifndef VMX_CLIENT_ROOT_OPERATION_H
#define VMX_CLIENT_ROOT_OPERATION_H

#include "run.h"

namespace {

constexpr u64 kFields[] = {
	kVpid,  0x0800, 0x0802, 0x0804, 0x0806, 0x0808, 0x080a, 0x080c, 0x080e, 0x0c00, 0x0c02, 0x0c04, 0x0c06,
	0x0c08, 0x0c0a, 0x0c0c, 0x2000, 0x2002, 0x2004, 0x2006, 0x2008, 0x200a, 0x2010, 0x201a, 0x2800, 0x2802,
	0x2804, 0x2806, 0x280a, 0x280c, 0x280e, 0x2810, 0x2c00, 0x2c02, 0x4000, 0x4002, 0x4004, 0x4006, 0x4008,
	0x400a, 0x400c, 0x400e, 0x4010, 0x4012, 0x4014, 0x4016, 0x4018, 0x401a, 0x401e, 0x4800, 0x4802, 0x4804,
	0x4806, 0x4808, 0x480a, 0x480c, 0x480e, 0x4810, 0x4812, 0x4824, 0x4826, 0x482a, 0x4c00, 0x6000, 0x6002,
	0x6004, 0x6006, 0x6008, 0x600a, 0x600c, 0x600e, 0x6800, 0x6802, 0x6804, 0x6806, 0x6808, 0x680a, 0x680c,
	0x680e, 0x6810, 0x6812, 0x6814, 0x6816, 0x6818, 0x681a, 0x681c, 0x681e, 0x6820, 0x6822, 0x6824, 0x6826,
	0x6c00, 0x6c02, 0x6c04, 0x6c06, 0x6c08, 0x6c0a, 0x6c0c, 0x6c0e, 0x6c10, 0x6c12, 0x6c14, 0x6c16,
};

inline u64 pattern(u64 field)
{
	const u64 value = 0x1122334455667788 * (field | 1);
	switch (field >> 13 & 3) {
	case 0:
		return value & 0xffff;
	case 2:
		return value & 0xffffffff;
	default:
		return value;
	}
}

inline void expect_fail(Test& test, const char* what, int outcome, u64 error)
{
	test.equal(what, outcome, VC_FAIL_VALID);
	test.equal(what, read(kInstructionError), error);
}

inline void test_before_vmxon()
{
	constexpr u32 kBasicMsr = 0x480, kFeatureControl = 0x3a, kFixed0Cr0 = 0x486, kFixed0Cr4 = 0x488;
	u64 value;
	{
		Test test("capability MSRs");
		const u64 feature_control = msr(kFeatureControl);
		test.equal("IA32_FEATURE_CONTROL", feature_control & 5, 5);
		test.equal("revision bit 31", basic >> 31 & 1, 0);
		test.check("region size", (basic >> 32 & 0x1fff) && (basic >> 32 & 0x1fff) <= kPage);
		test.equal("memory type", basic >> 50 & 15, 6);
		test.equal("INS and OUTS information", basic >> 54 & 1, 1);
		test.equal("TRUE MSRs", basic >> 55 & 1, 1);
		test.equal("CR0 fixed to 1", msr(kFixed0Cr0), 0x80000021);
		test.equal("CR4 fixed to 1", msr(kFixed0Cr4), 0x2000);
		test.equal("writing a capability MSR fails", !!vc_wrmsr(kBasicMsr, 0), 1);
		for (u32 number = kBasicMsr; number <= kTrueEntry; ++number)
			test.equal("reading a capability MSR", !!vc_rdmsr(number, &value), 0);
	}
	const struct {
		const char* name;
		u32 msr;
		u64 wanted;
	} groups[] = {
		{"capability: pin-based controls", kTruePin, kPinInterrupts | kPinNmis | kPinVirtualNmis},
		{"capability: processor-based controls", kTrueProc,
		 kProcInterruptWindow | kProcTscOffset | kProcHlt | kProcInvlpg | kProcMwait | kProcRdpmc | kProcRdtsc |
			 kProcCr3Load | kProcCr3Store | kProcCr8Load | kProcCr8Store | kProcNmiWindow | kProcMovDr |
			 kProcIo | kProcIoBitmaps | kProcMsrBitmaps | kProcMonitor | kProcPause | kProcSecondary},
		{"capability: secondary controls", kProc2Capability,
		 kProc2Ept | kProc2Rdtscp | kProc2Vpid | kProc2Wbinvd | kProc2Unrestricted},
		{"capability: VM-exit controls", kTrueExit,
		 kExitSaveDebug | kExitHost64 | kExitAcknowledge | kExitSavePat | kExitLoadPat | kExitSaveEfer |
			 kExitLoadEfer},
		{"capability: VM-entry controls", kTrueEntry,
		 kEntryLoadDebug | kEntryIa32e | kEntryLoadPat | kEntryLoadEfer},
	};
	for (const auto& group : groups) {
		Test test(group.name);
		test.equal("allowed 1-settings", msr(group.msr) >> 32 & group.wanted, group.wanted);
		test.equal("1-settings that are required", msr(group.msr) & group.wanted, 0);
	}
	{
		Test test("before VMXON");
		test.equal("VMXON with CR4.VMXE clear", vc_vmxon(vc_physical(context->vmxon)), VC_UD);
		vc_set_cr4_vmxe(1);
		test.equal("CR4.VMXE", read_cr4() >> 13 & 1, 1);
		test.equal("VMREAD", vc_vmread(kGuestRip, &value), VC_UD);
		test.equal("VMWRITE", vc_vmwrite(kGuestRip, 0), VC_UD);
		test.equal("VMXOFF", vc_vmxoff(), VC_UD);
		test.equal("VMCLEAR", vc_vmclear(vc_physical(context->vmcs)), VC_UD);
		test.equal("VMCALL", vc_vmcall(), VC_UD);
		test.equal("VMXON, not aligned", vc_vmxon(vc_physical(context->vmxon) + 8), VC_FAIL_INVALID);
		test.equal("VMXON beyond the physical width", vc_vmxon(u64{1} << 60), VC_FAIL_INVALID);
		test.equal("VMXON with a wrong revision", vc_vmxon(vc_physical(context->wrong_revision)),
			   VC_FAIL_INVALID);
	}
}

inline void test_without_vmcs()
{
	u64 value = 0;
	Test test("VMX operation without a current VMCS");
	test.equal("VMXON again", vc_vmxon(vc_physical(context->vmxon)), VC_FAIL_INVALID);
	test.equal("VMPTRST", vc_vmptrst(&value), VC_SUCCEED);
	test.equal("pointer", value, ~u64{0});
	test.equal("VMREAD", vc_vmread(kGuestRip, &value), VC_FAIL_INVALID);
	test.equal("VMWRITE", vc_vmwrite(kGuestRip, 1), VC_FAIL_INVALID);
	test.equal("VMLAUNCH", vc_enter(&registers, 0), VC_FAIL_INVALID);
	test.equal("VMRESUME", vc_enter(&registers, 1), VC_FAIL_INVALID);
	test.equal("VMCALL", vc_vmcall(), VC_FAIL_INVALID);
	test.equal("VMPTRLD, not aligned", vc_vmptrld(vc_physical(context->vmcs) + 4), VC_FAIL_INVALID);
	test.equal("clearing CR4.VMXE", vc_write_cr4(read_cr4() & ~bit(13)), VC_GP);
}

inline void test_root_instructions()
{
	u64 value;
	const u64 region = vc_physical(context->vmcs);
	{
		Test test("VMCLEAR, VMPTRLD, VMPTRST");
		test.equal("VMCLEAR", vc_vmclear(region), VC_SUCCEED);
		test.equal("VMPTRLD", vc_vmptrld(region), VC_SUCCEED);
		test.equal("VMPTRST", vc_vmptrst(&value), VC_SUCCEED);
		test.equal("pointer", value, region);
		expect_fail(test, "VMXON in VMX operation", vc_vmxon(vc_physical(context->vmxon)), 15);
		expect_fail(test, "VMCLEAR, not aligned", vc_vmclear(region + 1), 2);
		expect_fail(test, "VMCLEAR of the VMXON region", vc_vmclear(vc_physical(context->vmxon)), 3);
		expect_fail(test, "VMPTRLD, not aligned", vc_vmptrld(region + 1), 9);
		expect_fail(test, "VMPTRLD of the VMXON region", vc_vmptrld(vc_physical(context->vmxon)), 10);
		expect_fail(test, "VMPTRLD of a wrong revision", vc_vmptrld(vc_physical(context->wrong_revision)), 11);
		test.equal("VMPTRST afterwards", vc_vmptrst(&value), VC_SUCCEED);
		test.equal("pointer afterwards", value, region);
	}
	{
		Test test("VMREAD and VMWRITE");
		expect_fail(test, "VMWRITE of no field", vc_vmwrite(0x7ffe, 0), 12);
		expect_fail(test, "VMREAD of no field", vc_vmread(0x6c1e, &value), 12);
		expect_fail(test, "VMREAD with bit 40", vc_vmread(u64{1} << 40 | kGuestRip, &value), 12);
		expect_fail(test, "VMREAD of the high half of a natural field", vc_vmread(kGuestRip | 1, &value), 12);
		const bool any_field = msr(0x485) & bit(29);
		const int outcome = vc_vmwrite(kExitReason, 1);
		test.equal("VMWRITE of a read-only field", outcome, any_field ? VC_SUCCEED : VC_FAIL_VALID);
		if (!any_field)
			test.equal("error of VMWRITE of a read-only field", read(kInstructionError), 13);
		for (const u64 field : kFields) {
			if (vc_vmwrite(field, 0x1122334455667788 * (field | 1)))
				test.equal("cannot write field", field, 0);
		}
		for (const u64 field : kFields) {
			if (read(field) != pattern(field))
				test.equal("cannot read back field", field, 0);
		}
		write(kTscOffset + 1, 0xaabbccdd99887766);
		test.equal("high half", read(kTscOffset + 1), 0x99887766);
		test.equal("both halves", read(kTscOffset), (pattern(kTscOffset) & 0xffffffff) | u64{0x99887766} << 32);
		test.equal("VMCLEAR", vc_vmclear(region), VC_SUCCEED);
		test.equal("VMREAD after VMCLEAR", vc_vmread(kGuestRip, &value), VC_FAIL_INVALID);
		vc_vmptrld(region);
		test.equal("kept by VMCLEAR and VMPTRLD", read(kGuestRip), pattern(kGuestRip));
	}
	{
		Test test("VMREAD and VMWRITE with memory operands");
		u64 table[16] = {};
		table[8 + 5] = 0x777;
		vc_vmwrite_sib(kGuestRsp, table, 5);
		test.equal("scaled index", read(kGuestRsp), 0x777);
		test.equal("stack", vc_vmread_stack(kGuestRsp), 0x777);
		test.equal("relative to RIP", vc_vmread_rip_relative(kGuestRsp), 0x777);
		test.equal("flags after success", vc_vmread_flags(kGuestRsp), 0);
		test.equal("flags after failure", vc_vmread_flags(0x6c1e), 0x40);
		test.equal("#GP", vc_vmread_memory(kGuestRsp, reinterpret_cast<u64*>(u64{1} << 62)), VC_GP);
		test.equal("#PF", vc_vmread_memory(kGuestRsp, reinterpret_cast<u64*>(0xffffe00000000000)), VC_PF);
		test.equal("#PF of VMPTRST", vc_vmptrst(reinterpret_cast<u64*>(0xffffe00000000000)), VC_PF);
	}
	{
		Test test("INVEPT and INVVPID");
		u64 descriptor[2] = {vc_physical(context->ept[0]) | 6 | 3 << 3, 0};
		test.equal("INVEPT, single context", vc_invept(1, descriptor), VC_SUCCEED);
		test.equal("INVEPT, all contexts", vc_invept(2, descriptor), VC_SUCCEED);
		expect_fail(test, "INVEPT, type 0", vc_invept(0, descriptor), 28);
		expect_fail(test, "INVEPT, type 3", vc_invept(3, descriptor), 28);
		descriptor[0] = 1;
		test.equal("INVVPID, address", vc_invvpid(0, descriptor), VC_SUCCEED);
		test.equal("INVVPID, single context", vc_invvpid(1, descriptor), VC_SUCCEED);
		test.equal("INVVPID, all contexts", vc_invvpid(2, descriptor), VC_SUCCEED);
		test.equal("INVVPID, single context but globals", vc_invvpid(3, descriptor), VC_SUCCEED);
		expect_fail(test, "INVVPID, type 4", vc_invvpid(4, descriptor), 28);
		descriptor[0] = 0;
		expect_fail(test, "INVVPID, VPID 0", vc_invvpid(1, descriptor), 28);
		descriptor[0] = 0x10001;
		expect_fail(test, "INVVPID, reserved bits", vc_invvpid(1, descriptor), 28);
		descriptor[0] = 1;
		descriptor[1] = u64{1} << 62;
		expect_fail(test, "INVVPID, address not canonical", vc_invvpid(0, descriptor), 28);
	}
}

struct OtherCpu {
	int vmxon, vmptrld, vmclear, vmxoff;
	u64 rip;
};

inline void use_on_other_cpu(void* argument)
{
	OtherCpu& result = *static_cast<OtherCpu*>(argument);
	vc_set_cr4_vmxe(1);
	result.vmxon = vc_vmxon(vc_physical(context->second));
	result.vmptrld = vc_vmptrld(vc_physical(context->vmcs));
	result.rip = read(kGuestRip);
	vc_vmwrite(kGuestRip, 0x7654);
	result.vmclear = vc_vmclear(vc_physical(context->vmcs));
	result.vmxoff = vc_vmxoff();
	vc_set_cr4_vmxe(0);
}

inline void test_migration()
{
	OtherCpu result = {};
	if (vc_cpu_count() < 2) {
		vc_print("ok %u a VMCS on another CPU # SKIP one CPU\n", ++test_count);
		return;
	}
	Test test("a VMCS on another CPU", false);
	vc_vmclear(vc_physical(context->vmcs));
	vc_vmptrld(vc_physical(context->vmcs));
	write(kGuestRip, 0x4567);
	vc_vmclear(vc_physical(context->vmcs));
	vc_on_other_cpu(use_on_other_cpu, &result);
	test.equal("VMXON", result.vmxon, VC_SUCCEED);
	test.equal("VMPTRLD", result.vmptrld, VC_SUCCEED);
	test.equal("VMCLEAR", result.vmclear, VC_SUCCEED);
	test.equal("VMXOFF", result.vmxoff, VC_SUCCEED);
	test.equal("RIP there", result.rip, 0x4567);
	vc_vmptrld(vc_physical(context->vmcs));
	test.equal("RIP here", read(kGuestRip), 0x7654);
}

}  // namespace

#endif
