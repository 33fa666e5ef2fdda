// SPDX-License-Identifier: GPL-2.0
// Guests in EPT: real mode, protected mode, long mode.
#ifndef VMX_CLIENT_EPT_H
#define VMX_CLIENT_EPT_H

#include "run.h"

namespace {

inline void advance() { write(kGuestRip, read(kGuestRip) + read(kExitLength)); }

inline void test_real_mode()
{
	Test test("EPT: real mode");
	Controls controls;
	controls.proc = kProcHlt | kProcIo | kProcInvlpg;
	begin_unpaged(controls, 16, vc_guest_real_mode, vc_guest_real_mode_end);
	*reinterpret_cast<u16*>(context->guest_page[5]) = 0xbeef;
	test.equal("CPUID", run(), 10);
	test.equal("store", *reinterpret_cast<u16*>(context->guest_page[2]), 0x1234);
	test.equal("RIP at CPUID", read(kGuestRip), 0x1006);
	advance();
	test.equal("load without a page", run(), 48);
	test.equal("guest-physical address", read(kGuestPhysicalAddress), 0x5000);
	test.equal("qualification", read(kQualification) & 0x3f, 1);
	test.equal("RFLAGS.RF", read(kGuestRflags) & bit(16), bit(16));
	map_ept_page(5, 1);
	test.equal("HLT", run(), 12);
	test.equal("AX", registers.rax & 0xffff, 0xbeef);
	advance();
	registers.rsi = 0x12340003;
	registers.rdx = 0x60;
	test.equal("REP OUTSB", run(), 30);
	test.equal("qualification of REP OUTSB", read(kQualification), 1 << 4 | 1 << 5 | 0x60 << 16);
	test.equal("instruction information of REP OUTSB", read(kInstructionInfo) & (7 << 7 | 7 << 15), 3 << 15);
	test.equal("guest-linear address of REP OUTSB", read(kGuestLinearAddress), 3);
	advance();
	write(kGuestRip, read(kGuestRip));
	registers.rbx = 0x10;
	test.equal("INVLPG in protected mode", run(), 14);
	test.equal("qualification of INVLPG", read(kQualification), 0x2012);
	test.equal("length of INVLPG", read(kExitLength), 4);
	test.equal("CR0", read(kGuestCr0) & 0x31, 0x31);
}

inline void test_protected_mode()
{
	Test test("EPT: protected mode without paging");
	Controls controls;
	controls.proc = kProcHlt | kProcIo;
	begin_unpaged(controls, 32, vc_guest_protected_mode, vc_guest_protected_mode_end);
	set_segment(4, 8, 0x700, 0xffff, 0x93);
	test.equal("CPUID", run(), 10);
	test.equal("store", *reinterpret_cast<u32*>(context->guest_page[2]), 0x89abcdef);
	advance();
	registers.rsi = 0x44;
	registers.rdx = 0x60;
	test.equal("REP OUTSB", run(), 30);
	test.equal("instruction information", read(kInstructionInfo) & (7 << 7 | 7 << 15), 1 << 7 | 4 << 15);
	test.equal("guest-linear address", read(kGuestLinearAddress), 0x744);
	test.equal("length", read(kExitLength), 3);
	test.equal("SMSW", registers.rax & 0xffff, 0x31);
	advance();
	// Read-modify-write of a page without write permission.
	map_ept_page(3, 5);
	const u64 descriptor[2] = {read(kEptPointer), 0};
	vc_invept(1, descriptor);
	test.equal("locked increment", run(), 48);
	test.equal("write bit of the qualification", read(kQualification) & 2, 2);
	test.equal("rights in the qualification", read(kQualification) >> 3 & 7, 5);
	test.equal("guest-physical address", read(kGuestPhysicalAddress), 0x3000);
	map_ept_page(3);
	// A 2-MByte page.
	const u64 large = vc_physical(context) & ~(bit(21) - 1);
	context->ept[2][1] = large | bit(7) | 6 << 3 | 1;
	test.equal("HLT", run(), 12);
	const u32* const expected = reinterpret_cast<u32*>(address(context) - (vc_physical(context) - large));
	test.same("load from a large page", registers.rax & 0xffffffff, *expected);
	test.equal("increment", *reinterpret_cast<u32*>(context->guest_page[3]), 1);
}

inline void begin_long_mode_ept(const Controls& controls)
{
	begin_unpaged(controls, 32, vc_guest_long_mode, vc_guest_long_mode_end);
	for (unsigned page = 8; page < 11; ++page)
		map_ept_page(page);
	*reinterpret_cast<u64*>(context->guest_page[8]) = 0x9000 | 0x63;
	*reinterpret_cast<u64*>(context->guest_page[9]) = 0xa000 | 0x63;
	*reinterpret_cast<u64*>(context->guest_page[10]) = 0xe3;
	write(kGuestCr0, 0x80000031);
	write(kGuestCr3, 0x8000);
	write(kGuestCr4, 0x2020);
	write(kGuestEfer, 0x500);
	write(kEntryControls, read(kEntryControls) | kEntryIa32e);
	write(kGuestCsAccess, 0xa09b);
}

inline void test_long_mode_ept()
{
	Controls controls;
	controls.proc = kProcHlt;
	controls.proc2 = kProc2Vpid;
	{
		Test test("EPT: long mode");
		begin_long_mode_ept(controls);
		write(kVpid, 1);
		test.equal("CPUID", run(), 10);
		test.equal("store", *reinterpret_cast<u64*>(context->guest_page[2]), 0x1122334455667788);
		advance();
		test.equal("load", run(), 48);
		test.equal("qualification of the load", read(kQualification) & 0x3f, 1);
		test.equal("guest-physical address of the load", read(kGuestPhysicalAddress), 0x5008);
		map_ept_page(5);
		reinterpret_cast<u64*>(context->guest_page[5])[1] = 0x77;
		test.equal("store to page 6", run(), 48);
		test.equal("qualification of the store", read(kQualification) & 0x3f, 2);
		test.equal("guest-physical address of the store", read(kGuestPhysicalAddress), 0x6010);
		map_ept_page(6);
		test.equal("fetch from page 7", run(), 48);
		test.equal("qualification of the fetch", read(kQualification) & 0x1bf, 0x184);
		test.equal("guest-linear address of the fetch", read(kGuestLinearAddress) & ~(kPage - 1), 0x7000);
		test.equal("guest-physical address of the fetch", read(kGuestPhysicalAddress) & ~(kPage - 1), 0x7000);
		test.equal("stored", reinterpret_cast<u64*>(context->guest_page[6])[2], 0x77);
		copy(context->guest_page[7], context->guest_page[1], kPage);
		map_ept_page(7);
		test.equal("HLT", run(), 12);
		test.equal("page of RIP", read(kGuestRip) & ~(kPage - 1), 0x7000);
		test.equal("EFER", read(kGuestEfer), 0x500);
	}
	{
		Test test("EPT: misconfiguration");
		begin_long_mode_ept(controls);
		write(kVpid, 1);
		context->ept[3][2] = vc_physical(context->guest_page[2]) | 6 << 3 | 2;  // writable, not readable
		test.equal("reason", run(), 49);
		test.equal("guest-physical address", read(kGuestPhysicalAddress), 0x2000);
	}
}

// Accessed and dirty flags.  SDM Vol. 3C, section 29.3.5.
constexpr u64 kEptFlagsEnabled = bit(6), kEptAccessed = bit(8), kEptDirty = bit(9);

inline void test_ept_flags()
{
	constexpr u64 kFlags = kEptAccessed | kEptDirty;
	const Controls none;
	auto flags_of = [](unsigned page) { return context->ept[3][page] & kFlags; };
	{
		Test test("EPT: accessed and dirty flags");
		begin_long_mode_ept(none);
		write(kEptPointer, read(kEptPointer) | kEptFlagsEnabled);
		map_ept_page(5);
		map_ept_page(6);
		test.equal("CPUID", run(), kCpuid);
		for (unsigned i = 0; i < 3; ++i)
			test.equal("entry of a table", context->ept[i][0] & kFlags, kEptAccessed);
		test.equal("code", flags_of(1), kEptAccessed);
		test.equal("page that was written", flags_of(2), kFlags);
		test.equal("page tables", flags_of(8) & flags_of(9) & flags_of(10), kFlags);
		test.equal("pages that were not used", flags_of(5) | flags_of(6), 0);
		advance();
		test.equal("fetch from page 7", run(), kEptViolation);
		test.equal("page that was read", flags_of(5), kEptAccessed);
		test.equal("page that was written later", flags_of(6), kFlags);
		// A page that has been used by reads alone, and is written now: the store goes to the page of the code.
		u8* store = context->guest_page[1];
		while (*reinterpret_cast<u32*>(store) != 0x2000)
			++store;
		*reinterpret_cast<u32*>(store) = 0x1f00;
		write(kGuestRip, 0x1000);
		test.equal("CPUID again", run(), kCpuid);
		test.equal("code that was written", flags_of(1), kFlags);
	}
	{
		Test test("EPT: no accessed and dirty flags");
		begin_long_mode_ept(none);
		test.equal("CPUID", run(), kCpuid);
		test.equal("flags", flags_of(1) | flags_of(2) | flags_of(8) | (context->ept[0][0] & kFlags), 0);
	}
}

// EPT violations by accesses to the guest's page tables.  SDM Vol. 3C, table 28-7.
inline void test_ept_of_page_tables()
{
	constexpr u64 kAccess = 3, kRights = 7 << 3, kLinearValid = bit(7), kFinal = bit(8);
	const Controls none;
	const struct {
		const char* name;
		u64 flags, rights, access;
	} cases[] = {
		{"EPT: page table without a page", 0, 0, 1},
		{"EPT: page table without a page, with flags", kEptFlagsEnabled, 0, 3},
		{"EPT: page table without write permission, with flags", kEptFlagsEnabled, 5, 3},
	};
	for (const auto& one : cases) {
		Test test(one.name);
		begin_long_mode_ept(none);
		write(kEptPointer, read(kEptPointer) | one.flags);
		if (one.rights)
			map_ept_page(9, one.rights);
		else
			context->ept[3][9] = 0;
		test.equal("reason", run(), kEptViolation);
		test.equal("qualification", read(kQualification) & (kAccess | kRights | kLinearValid | kFinal),
			   one.access | one.rights << 3 | kLinearValid);
		test.equal("guest-physical address", read(kGuestPhysicalAddress), 0x9000);
		test.equal("guest-linear address", read(kGuestLinearAddress), 0x1000);
	}
	{
		Test test("page fault by a reserved bit");
		begin_long_mode_ept(none);
		write(kExceptionBitmap, bit(14));
		*reinterpret_cast<u64*>(context->guest_page[10]) |= bit(13);
		test.equal("reason", run(), kException);
		test.equal("error code", read(kExitError), 9);
		test.equal("qualification", read(kQualification), 0x1000);
	}
}

}  // namespace

#endif
