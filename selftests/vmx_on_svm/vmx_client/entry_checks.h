// SPDX-License-Identifier: GPL-2.0
// VM-entries that fail.
#ifndef VMX_CLIENT_ENTRY_CHECKS_H
#define VMX_CLIENT_ENTRY_CHECKS_H

#include "run.h"

namespace {

void expect_entry_error(Test &test, const char *what, u64 error)
{
	const int outcome = vc_enter(&registers, launched);
	test.equal(what, outcome ? outcome : 100, VC_FAIL_VALID);
	test.equal(what, read(kInstructionError), error);
}

void with_field(Test &test, const char *what, u64 field, u64 value, u64 error)
{
	const u64 old = read(field);
	write(field, value);
	expect_entry_error(test, what, error);
	write(field, old);
}

void test_control_checks()
{
	Test test("VM-entry: checks on controls");
	Controls controls;
	controls.proc = kProcMsrBitmaps | kProcIoBitmaps;
	begin_long_mode(controls, vc_guest_vmcall);
	with_field(test, "pin controls", kPinControls, 0, 7);
	with_field(test, "processor controls", kProcControls, 0, 7);
	with_field(test, "exit controls", kExitControls, 0, 7);
	with_field(test, "entry controls", kEntryControls, ~u32{0}, 7);
	with_field(test, "CR3-target count", kCr3TargetCount, 256, 7);
	with_field(test, "I/O bitmap", kIoBitmapA, 0x1001, 7);
	with_field(test, "MSR bitmap", kMsrBitmap, u64{1} << 60, 7);
	with_field(test, "virtual NMIs without NMI exiting", kPinControls, (read(kPinControls) & ~kPinNmis) |
			kPinVirtualNmis, 7);
	with_field(test, "NMI-window exiting without virtual NMIs", kProcControls, read(kProcControls) |
			kProcNmiWindow, 7);
	write(kExitMsrStoreCount, 1);
	with_field(test, "MSR-store area", kExitMsrStoreAddress, 8, 7);
	write(kExitMsrStoreCount, 0);
	write(kEntryMsrLoadCount, 1);
	with_field(test, "MSR-load area", kEntryMsrLoadAddress, 8, 7);
	write(kEntryMsrLoadCount, 0);
	with_field(test, "injection: reserved type", kEntryInfo, kInfoValid | 1 << 8 | 3, 7);
	with_field(test, "injection: NMI with another vector", kEntryInfo, kInfoValid | 2 << 8 | 3, 7);
	with_field(test, "injection: exception above 31", kEntryInfo, kInfoValid | 3 << 8 | 32, 7);
	with_field(test, "injection: error code missing", kEntryInfo, kInfoValid | 3 << 8 | 13, 7);
	with_field(test, "injection: error code with #UD", kEntryInfo, kInfoValid | 1 << 11 | 3 << 8 | 6, 7);
	with_field(test, "injection: reserved bits", kEntryInfo, kInfoValid | 1 << 20 | 3 << 8 | 6, 7);
	write(kEntryLength, 16);
	with_field(test, "injection: instruction length", kEntryInfo, kInfoValid | 4 << 8 | 0x61, 7);
	write(kEntryLength, 0);
	Controls secondary;
	secondary.proc2 = kProc2Vpid;
	begin_long_mode(secondary, vc_guest_vmcall);
	expect_entry_error(test, "VPID of 0", 7);
	write(kVpid, 1);
	with_field(test, "unrestricted guest without EPT", kProc2Controls, kProc2Unrestricted, 7);
	write(kProc2Controls, kProc2Ept);
	with_field(test, "EPT pointer: memory type", kEptPointer, vc_physical(context->ept[0]) | 3 << 3 | 2, 7);
	with_field(test, "EPT pointer: walk length", kEptPointer, vc_physical(context->ept[0]) | 1 << 3 | 6, 7);
	with_field(test, "EPT pointer: reserved bits", kEptPointer, vc_physical(context->ept[0]) | 3 << 3 | 6 |
			bit(11), 7);
}

void test_host_checks()
{
	Test test("VM-entry: checks on the host state");
	begin_long_mode(Controls(), vc_guest_vmcall);
	with_field(test, "CR0", kHostCr0, host.cr0 & ~bit(5), 8);
	with_field(test, "CR4", kHostCr4, host.cr4 & ~bit(13), 8);
	with_field(test, "CR4.PAE", kHostCr4, host.cr4 & ~bit(5), 8);
	with_field(test, "CR3", kHostCr3, u64{1} << 60, 8);
	with_field(test, "CS", kHostCsSelector, 0, 8);
	with_field(test, "TR", kHostTrSelector, 0, 8);
	with_field(test, "RPL", kHostSsSelector, host.ss | 3, 8);
	with_field(test, "TI", kHostDsSelector, 4, 8);
	with_field(test, "GS base", kHostGsBase, u64{1} << 62, 8);
	with_field(test, "GDTR base", kHostGdtrBase, u64{1} << 62, 8);
	with_field(test, "SYSENTER_EIP", kHostSysenterEip, u64{1} << 62, 8);
	with_field(test, "EFER reserved", kHostEfer, host.efer | bit(1), 8);
	with_field(test, "EFER.LMA", kHostEfer, host.efer & ~bit(10), 8);
	with_field(test, "PAT", kHostPat, 2, 8);
}

void with_guest_field(Test &test, const char *what, u64 field, u64 value, u64 qualification = 0)
{
	const u64 old = read(field);
	write(field, value);
	test.equal(what, try_entry(), kFailedEntry | 33);
	test.equal("qualification", read(kQualification), qualification);
	write(field, old);
}

void test_guest_checks()
{
	Test test("VM-entry: checks on the guest state");
	Controls controls;
	controls.entry |= kEntryLoadPat;
	begin_long_mode(controls, vc_guest_vmcall);
	with_guest_field(test, "CR0.NE", kGuestCr0, host.cr0 & ~bit(5));
	with_guest_field(test, "CR0.PG", kGuestCr0, host.cr0 & ~bit(31));
	with_guest_field(test, "CR4.VMXE", kGuestCr4, host.cr4 & ~bit(13));
	with_guest_field(test, "CR4.PAE", kGuestCr4, host.cr4 & ~bit(5));
	with_guest_field(test, "CR3", kGuestCr3, u64{1} << 60);
	with_guest_field(test, "RFLAGS bit 1", kGuestRflags, 0);
	with_guest_field(test, "RFLAGS.VM", kGuestRflags, 2 | bit(17));
	with_guest_field(test, "RFLAGS reserved", kGuestRflags, 2 | bit(30));
	with_guest_field(test, "EFER.LMA", kGuestEfer, host.efer & ~bit(10));
	with_guest_field(test, "EFER reserved", kGuestEfer, host.efer | bit(2));
	with_guest_field(test, "PAT", kGuestPat, 2);
	with_guest_field(test, "link pointer", kLinkPointer, 0x1001, 4);
	with_guest_field(test, "activity state", kActivity, 5);
	with_guest_field(test, "interruptibility reserved", kInterruptibility, bit(7));
	with_guest_field(test, "blocking by STI without IF", kInterruptibility, 1);
	with_guest_field(test, "interrupt injected without IF", kEntryInfo, kInfoValid | 0x50);
	with_guest_field(test, "pending debug exceptions", kPendingDebug, bit(5));
	with_guest_field(test, "GDTR base", kGuestGdtrBase, u64{1} << 62);
	with_guest_field(test, "GDTR limit", kGuestGdtrLimit, 0x10000);
	with_guest_field(test, "TR type", kGuestTrAccess, 0x89);
	with_guest_field(test, "TR unusable", kGuestTrAccess, 0x1008b);
	with_guest_field(test, "CS type", kGuestCsAccess, 0xa093);
	with_guest_field(test, "CS.L and CS.D", kGuestCsAccess, 0xe09b);
	with_guest_field(test, "CS.S", kGuestCsAccess, 0xa08b);
	with_guest_field(test, "CS.P", kGuestCsAccess, 0xa01b);
	with_guest_field(test, "SS type", kGuestSsAccess, 0xc091);
	with_guest_field(test, "SS.DPL", kGuestSsAccess, 0xc0f3);
	with_guest_field(test, "TR selector", kGuestEsSelector + 14, host.tr | 4);
	with_guest_field(test, "CS base", kGuestEsBase + 2, u64{1} << 40);
	with_guest_field(test, "FS base", kGuestEsBase + 8, u64{1} << 62);
	// A failed entry saves nothing and does not launch.
	test.equal("RIP", offset_of(vc_guest_vmcall), 0);
	write(kEntryInfo, kInfoValid | 3 << 8 | 6);
	with_guest_field(test, "injection with a bad state", kGuestRflags, 0);
	test.equal("valid bit after a failed entry", read(kEntryInfo) >> 31, 1);
	write(kEntryInfo, 0);
	test.equal("VMRESUME after failed entries", vc_enter(&registers, 1), VC_FAIL_VALID);
	test.equal("VM-instruction error", read(kInstructionError), 5);
	test.equal("VMLAUNCH at last", run(), 18);
	test.equal("VMLAUNCH again", vc_enter(&registers, 0), VC_FAIL_VALID);
	test.equal("VM-instruction error", read(kInstructionError), 4);
	test.equal("VMLAUNCH after MOV SS", vc_launch_after_mov_ss(), VC_FAIL_VALID);
	test.equal("VM-instruction error", read(kInstructionError), 26);
}

} // namespace

#endif
