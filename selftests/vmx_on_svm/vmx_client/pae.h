// SPDX-License-Identifier: GPL-2.0
// PDPTEs of a guest with PAE paging in EPT.
#ifndef VMX_CLIENT_PAE_H
#define VMX_CLIENT_PAE_H

#include "ept.h"

namespace {

// The tables: PDPTEs at 8000H, page directories of one 2-MByte page each at 9000H and A000H.  The second one maps it to
// the next 2 MBytes of guest-physical memory, but the code is in both.
inline void begin_pae()
{
	Controls controls;
	controls.proc = kProcHlt;
	begin_unpaged(controls, 32, vc_guest_pae, vc_guest_pae_end);
	for (unsigned page = 5; page < 12; ++page)
		map_ept_page(page);
	*reinterpret_cast<u64*>(context->guest_page[9]) = 0xe3;
	*reinterpret_cast<u64*>(context->guest_page[10]) = 0xb000 | 0x23;
	u64* const table = reinterpret_cast<u64*>(context->guest_page[11]);
	table[1] = 0x1000 | 0x63;
	table[5] = 0x6000 | 0x63;
	*reinterpret_cast<u32*>(context->guest_page[5]) = 0x5555;
	*reinterpret_cast<u32*>(context->guest_page[6]) = 0x6666;
	write(kGuestCr0, 0x80000031);
	write(kGuestCr3, 0x8000);
	write(kGuestCr4, 0x2020);
	write(kGuestPdpte0, 0x9001);
	registers.rbx = 0x8020;
}

inline void test_pae()
{
	u64* const memory = reinterpret_cast<u64*>(context->guest_page[8]);
	{
		Test test("PAE paging: PDPTEs of the VMCS");
		begin_pae();
		// Memory has none: those of the VMCS are in use.
		test.equal("reason", run(), kCpuid);
		registers.rbx = 0x8020;
		memory[4] = 0xa001;
		advance();
		test.equal("HLT", run(), kHlt);
		test.equal("load before MOV to CR3", registers.rsi & 0xffffffff, 0x5555);
		test.equal("load after MOV to CR3", registers.rdi & 0xffffffff, 0x6666);
		test.equal("CR3 as read", registers.rcx & 0xffffffff, 0x8020);
		test.equal("CR3", read(kGuestCr3), 0x8020);
		test.equal("PDPTE 0", read(kGuestPdpte0), 0xa001);
		test.equal("PDPTE 1", read(kGuestPdpte0 + 2), 0);
		test.equal("load after MOV to CR4", registers.rax & 0xffffffff, 0x6666);
	}
	{
		Test test("PAE paging: PDPTEs stay until they are loaded");
		begin_pae();
		memory[4] = 0x9001;
		test.equal("reason", run(), kCpuid);
		registers.rbx = 0x8020;
		memory[4] = 0;
		memory[5] = 7 << 9;
		write(kGuestPdpte0 + 4, 6);  // not present: reserved bits do not matter
		advance();
		write(kExceptionBitmap, bit(14));
		test.equal("#PF of a PDPTE that is not present", run(), kException);
		test.equal("qualification", read(kQualification) & ~u64{0xfff}, 0x1000);
		test.equal("PDPTE 0", read(kGuestPdpte0), 0);
	}
	{
		Test test("PAE paging: reserved bits in memory");
		begin_pae();
		test.equal("reason", run(), kCpuid);
		registers.rbx = 0x8020;
		memory[4] = 0xa001 | bit(6);
		write(kExceptionBitmap, bit(13));
		advance();
		test.equal("#GP of MOV to CR3", run(), kException);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 11 | 3 << 8 | 13);
		test.equal("PDPTE 0", read(kGuestPdpte0), 0x9001);
		test.equal("CR3", read(kGuestCr3), 0x8000);
	}
	{
		Test test("PAE paging: reserved bits at VM-entry");
		begin_pae();
		write(kGuestPdpte0 + 6, 0x9001 | bit(5));
		test.equal("reason", try_entry(), kFailedEntry | 33);
		test.equal("qualification", read(kQualification), 2);
		write(kGuestPdpte0 + 6, u64{1} << 60 | 1);
		test.equal("reason beyond the physical width", try_entry(), kFailedEntry | 33);
		write(kGuestPdpte0 + 6, 0x9000 | bit(5));
		test.equal("not present", run(), kCpuid);
	}
}

}  // namespace

#endif
