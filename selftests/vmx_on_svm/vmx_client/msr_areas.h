// SPDX-License-Identifier: GPL-2.0
// MSRs that VM-entry and VM-exit load and store.
#ifndef VMX_CLIENT_MSR_AREAS_H
#define VMX_CLIENT_MSR_AREAS_H

#include "run.h"

namespace {

inline void test_msr_areas()
{
	constexpr u32 kStar = 0xc0000081, kSysenterEsp = 0x175, kLstar = 0xc0000082;
	{
		Test test("MSR areas");
		const u64 lstar = msr(kLstar), star = msr(kStar);
		begin_long_mode(Controls(), vc_guest_vmcall);
		write(kGuestSysenterEsp, 0x5555);
		context->entry_load[0] = {kLstar, 0, lstar + 16};
		context->entry_load[1] = {kStar, 0, star ^ bit(40)};
		context->store[0] = {kLstar, 0, 0};
		context->store[1] = {kSysenterEsp, 0, 0};
		context->load[0] = {kLstar, 0, lstar};
		context->load[1] = {kStar, 0, star};
		write(kEntryMsrLoadAddress, vc_physical(context->entry_load));
		write(kEntryMsrLoadCount, 2);
		write(kExitMsrStoreAddress, vc_physical(context->store));
		write(kExitMsrStoreCount, 2);
		write(kExitMsrLoadAddress, vc_physical(context->load));
		write(kExitMsrLoadCount, 2);
		test.equal("reason", run(), 18);
		test.same("stored LSTAR", context->store[0].value, lstar + 16);
		test.equal("stored SYSENTER_ESP", context->store[1].value, 0x5555);
		test.same("LSTAR", msr(kLstar), lstar);
		test.same("STAR", msr(kStar), star);
	}
	{
		Test test("MSR loading fails");
		const u64 lstar = msr(kLstar);
		begin_long_mode(Controls(), vc_guest_vmcall);
		context->entry_load[0] = {kLstar, 0, lstar};
		context->entry_load[1] = {0xc0000100, 0, 0};
		write(kEntryMsrLoadAddress, vc_physical(context->entry_load));
		write(kEntryMsrLoadCount, 2);
		test.equal("reason", try_entry(), kFailedEntry | 34);
		test.equal("qualification", read(kQualification), 2);
		context->entry_load[0] = {kLstar, 1, lstar};
		test.equal("reason with reserved bits", try_entry(), kFailedEntry | 34);
		test.equal("qualification with reserved bits", read(kQualification), 1);
		context->entry_load[0] = {kLstar, 0, u64{1} << 62};
		test.equal("reason with a value that faults", try_entry(), kFailedEntry | 34);
		test.equal("qualification with a value that faults", read(kQualification), 1);
	}
	{
		Test test("controls that save and load MSRs");
		Controls controls;
		controls.exit |= kExitSavePat | kExitSaveDebug;
		controls.entry |= kEntryLoadPat | kEntryLoadDebug;
		begin_long_mode(controls, vc_guest_vmcall);
		const u64 pat = 0x0007040600070406 ^ u64 { 6 } << 56;
		write(kGuestPat, pat);
		write(kGuestDr7, 0x500);
		test.equal("reason", run(), 18);
		test.equal("PAT", read(kGuestPat), pat);
		test.equal("DR7", read(kGuestDr7), 0x500);
		test.same("EFER", read(kGuestEfer), host.efer);
		test.check("IA-32e mode guest", read(kEntryControls) & kEntryIa32e);
	}
}

}  // namespace

#endif
