// SPDX-License-Identifier: GPL-2.0
// VM-entries that fail.
#ifndef VMX_CLIENT_ENTRY_CHECKS_H
#define VMX_CLIENT_ENTRY_CHECKS_H

#include "run.h"

namespace {

inline void expect_entry_error(Test& test, const char* what, u64 error)
{
	const int outcome = vc_enter(&registers, launched);
	test.equal(what, outcome ? outcome : 100, VC_FAIL_VALID);
	test.equal(what, read(kInstructionError), error);
}

[[gnu::noinline]] inline void with_field(Test& test, const char* what, u64 field, u64 value, u64 error)
{
	const u64 old = read(field);
	write(field, value);
	expect_entry_error(test, what, error);
	write(field, old);
}

inline void test_control_checks()
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
	with_field(test, "virtual NMIs without NMI exiting", kPinControls,
		   (read(kPinControls) & ~kPinNmis) | kPinVirtualNmis, 7);
	with_field(test, "NMI-window exiting without virtual NMIs", kProcControls, read(kProcControls) | kProcNmiWindow,
		   7);
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
	write(kExitMsrLoadCount, 1);
	with_field(test, "MSR-load area of VM-exit", kExitMsrLoadAddress, 8, 7);
	with_field(test, "MSR-load area beyond the physical width", kExitMsrLoadAddress, u64{1} << 60, 7);
	write(kExitMsrLoadCount, 0);
	with_field(test, "I/O bitmap B", kIoBitmapB, u64{1} << 60, 7);
	write(kEntryError, 0x10000);
	with_field(test, "injection: reserved bits of the error code", kEntryInfo, kInfoValid | 1 << 11 | 3 << 8 | 13,
		   7);
	write(kEntryError, 0);
	Controls secondary;
	secondary.proc2 = kProc2Vpid;
	begin_long_mode(secondary, vc_guest_vmcall);
	expect_entry_error(test, "VPID of 0", 7);
	write(kVpid, 1);
	with_field(test, "unrestricted guest without EPT", kProc2Controls, kProc2Unrestricted, 7);
	write(kProc2Controls, kProc2Ept);
	with_field(test, "EPT pointer: memory type", kEptPointer, vc_physical(context->ept[0]) | 3 << 3 | 2, 7);
	with_field(test, "EPT pointer: walk length", kEptPointer, vc_physical(context->ept[0]) | 1 << 3 | 6, 7);
	with_field(test, "EPT pointer: reserved bits", kEptPointer, vc_physical(context->ept[0]) | 3 << 3 | 6 | bit(11),
		   7);
}

inline void test_host_checks()
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
	with_field(test, "CR0.PG", kHostCr0, host.cr0 & ~bit(31), 8);
	with_field(test, "CR4 reserved", kHostCr4, host.cr4 | bit(40), 8);
	with_field(test, "RPL of CS", kHostCsSelector, host.cs | 3, 8);
	with_field(test, "RPL of ES", kHostEsSelector, 1, 8);
	with_field(test, "TI of FS", kHostFsSelector, 4, 8);
	with_field(test, "TI of GS", kHostGsSelector, 4, 8);
	with_field(test, "RPL of TR", kHostTrSelector, host.tr | 1, 8);
	with_field(test, "FS base", kHostFsBase, u64{1} << 62, 8);
	with_field(test, "TR base", kHostTrBase, u64{1} << 62, 8);
	with_field(test, "IDTR base", kHostIdtrBase, u64{1} << 62, 8);
	with_field(test, "SYSENTER_ESP", kHostSysenterEsp, u64{1} << 62, 8);
	with_field(test, "EFER.LME", kHostEfer, host.efer & ~bit(8), 8);
	with_field(test, "host address-space size", kExitControls, read(kExitControls) & ~kExitHost64, 8);
}

[[gnu::noinline]] inline void with_guest_field(Test& test, const char* what, u64 field, u64 value,
					       u64 qualification = 0)
{
	const u64 old = read(field);
	write(field, value);
	test.equal(what, try_entry(), kFailedEntry | 33);
	test.equal("qualification", read(kQualification), qualification);
	write(field, old);
}

struct BadField {
	const char* what;
	u64 field, value;
};

// Two arrays, for the kernel's stack is small.
[[gnu::noinline]] inline void test_more_guest_segments(Test& test)
{
	constexpr u64 kSelector = kGuestEsSelector, kLimit = kGuestEsLimit, kAccess = kGuestEsAccess,
		      kBase = kGuestEsBase;
	enum { kEs = 0, kCs = 2, kSs = 4, kDs = 6, kFs = 8, kGs = 10, kLdtr = 12, kTr = 14 };
	constexpr u64 kNotCanonical = u64{1} << 62, kHigh = u64{1} << 40;
	const BadField fields[] = {
		{"TR base", kBase + kTr, kNotCanonical},
		{"GS base", kBase + kGs, kNotCanonical},
		{"TR.S", kAccess + kTr, 0x9b},
		{"TR.P", kAccess + kTr, 0x0b},
		{"TR.G", kAccess + kTr, 0x808b},
		{"TR reserved", kAccess + kTr, 0x18b},
		{"TR limit", kLimit + kTr, 0x100067},
		{"CS: data", kAccess + kCs, 0xa091},
		{"CS: not accessed", kAccess + kCs, 0xa09a},
		{"CS.DPL", kAccess + kCs, 0xa0fb},
		{"CS reserved", kAccess + kCs, 0xa19b},
		{"CS reserved, high", kAccess + kCs, 0x2a09b},
		{"CS.G", kAccess + kCs, 0x209b},
		{"CS limit", kLimit + kCs, 0xfffff000},
		{"RPL of CS", kSelector + kCs, host.cs | 3ul},
		{"RPL of SS", kSelector + kSs, host.ss | 3ul},
		{"SS.P", kAccess + kSs, 0xc013},
		{"SS.S", kAccess + kSs, 0xc083},
		{"SS: code", kAccess + kSs, 0xc09b},
		{"SS reserved", kAccess + kSs, 0xc493},
		{"SS base", kBase + kSs, kHigh},
		{"DS: not accessed", kAccess + kDs, 0xc092},
		{"DS: execute-only code", kAccess + kDs, 0xc099},
		{"DS.S", kAccess + kDs, 0xc083},
		{"DS.P", kAccess + kDs, 0xc013},
		{"DS reserved", kAccess + kDs, 0xc893},
		{"LDTR type", kAccess + kLdtr, 0x83},
		{"LDTR.S", kAccess + kLdtr, 0x92},
		{"LDTR.P", kAccess + kLdtr, 0x02},
		{"LDTR reserved", kAccess + kLdtr, 0x282},
		{"LDTR.G", kAccess + kLdtr, 0x8082},
	};
	for (const BadField& one : fields)
		with_guest_field(test, one.what, one.field, one.value);
	// Usable segments, for what is not checked otherwise.
	set_segment(3, 0, 0, ~u32{0}, 0xc093);
	with_guest_field(test, "DS base", kBase + kDs, kHigh);
	with_guest_field(test, "DS.DPL below the RPL", kSelector + kDs, 3);
	with_guest_field(test, "DS limit", kLimit + kDs, 0xfffff000);
	set_segment(6, 0, 0, 0x67, 0x82);
	with_guest_field(test, "LDTR selector", kSelector + kLdtr, 4);
	with_guest_field(test, "LDTR base", kBase + kLdtr, kNotCanonical);
	with_guest_field(test, "LDTR limit", kLimit + kLdtr, 0x100000);
	set_segment(6, 0, 0, 0, kUnusable);
}

[[gnu::noinline]] inline void test_more_guest_fields(Test& test)
{
	constexpr u64 kNotCanonical = u64{1} << 62;
	const BadField fields[] = {
		{"CR0.PE", kGuestCr0, host.cr0 & ~bit(0)},
		{"CR0 reserved", kGuestCr0, host.cr0 | bit(40)},
		{"CR4 reserved", kGuestCr4, host.cr4 | bit(40)},
		{"EFER.LME", kGuestEfer, host.efer & ~bit(8)},
		{"SYSENTER_ESP", kGuestSysenterEsp, kNotCanonical},
		{"SYSENTER_EIP", kGuestSysenterEip, kNotCanonical},
		{"IDTR base", kGuestIdtrBase, kNotCanonical},
		{"IDTR limit", kGuestIdtrLimit, 0x10000},
		{"RFLAGS bit 3", kGuestRflags, 2 | bit(3)},
		{"RFLAGS bit 63", kGuestRflags, 2 | bit(63)},
		{"blocking by SMI", kInterruptibility, 4},
		{"pending debug exceptions, bit 13", kPendingDebug, bit(13)},
		{"pending debug exceptions, bit 17", kPendingDebug, bit(17)},
	};
	for (const BadField& one : fields)
		with_guest_field(test, one.what, one.field, one.value);
	// Events and what blocks them.
	write(kGuestRflags, 0x202);
	with_guest_field(test, "blocking by STI and MOV SS", kInterruptibility, 3);
	write(kEntryInfo, kInfoValid | 0x50);
	with_guest_field(test, "interrupt injected while STI blocks", kInterruptibility, 1);
	with_guest_field(test, "interrupt injected while MOV SS blocks", kInterruptibility, 2);
	write(kEntryInfo, kInfoValid | 2 << 8 | 2);
	with_guest_field(test, "NMI injected while MOV SS blocks", kInterruptibility, 2);
	write(kPinControls, read(kPinControls) | kPinVirtualNmis);
	with_guest_field(test, "virtual NMI injected while one blocks", kInterruptibility, 8);
	write(kPinControls, read(kPinControls) & ~kPinVirtualNmis);
	write(kEntryInfo, 0);
	write(kInterruptibility, 1);
	with_guest_field(test, "halted while STI blocks", kActivity, 1);
	write(kInterruptibility, 0);
	write(kGuestRflags, 2);
	with_guest_field(test, "link pointer to no VMCS", kLinkPointer, vc_physical(context->wrong_revision), 4);
	// Loaded only if a control says so.
	const u64 entry = read(kEntryControls);
	write(kEntryControls, entry | kEntryLoadDebug);
	with_guest_field(test, "DR7", kGuestDr7, bit(32) | 0x400);
	write(kEntryControls, entry);
}

// Bochs leaves these checks out (SDM Vol. 3C, sections 27.3.1.1, 27.3.1.4 and 27.3.1.5): each begins anew, and nothing is recorded.
inline void test_guest_checks_of_the_sdm()
{
	const struct {
		const char* what;
		u64 field, value, rflags, interruptibility, activity;
	} cases[] = {
		{"RIP not canonical", kGuestRip, bit(62), 0x202, 0, 0},
		{"pending debug exceptions, bit 32", kPendingDebug, bit(32), 0x202, 0, 0},
		{"BS clear with TF while STI blocks", kPendingDebug, 0, 0x302, 1, 0},
		{"BS set without TF while STI blocks", kPendingDebug, bit(14), 0x202, 1, 0},
		{"BS clear with TF while MOV SS blocks", kPendingDebug, 0, 0x302, 2, 0},
		{"BS clear with TF while halted", kPendingDebug, 0, 0x302, 0, 1},
		{"IA32_DEBUGCTL", kGuestDebugControl, bit(20), 0x202, 0, 0},
		{"#UD injected while halted", kEntryInfo, kInfoValid | 3 << 8 | 6, 0x202, 0, 1},
	};
	Test test("VM-entry: checks of RIP, DEBUGCTL, the BS flag and events for a halted guest", false);
	for (const auto& one : cases) {
		Controls controls;
		controls.entry |= kEntryLoadDebug;
		begin_long_mode(controls, vc_guest_vmcall);
		write(kGuestRflags, one.rflags);
		write(kInterruptibility, one.interruptibility);
		write(kActivity, one.activity);
		write(one.field, one.value);
		test.equal(one.what, try_entry(), kFailedEntry | 33);
	}
	// What made these guests leave, if they were entered, is still pending.
	vc_interrupts_on_and_off();
}

inline void test_guest_checks()
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
	test_more_guest_segments(test);
	test_more_guest_fields(test);
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

}  // namespace

#endif
