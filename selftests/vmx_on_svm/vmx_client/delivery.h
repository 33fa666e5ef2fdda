// SPDX-License-Identifier: GPL-2.0
// Exits in the midst of event delivery: IDT-vectoring information.  SDM Vol. 3C, section 28.2.4.
#ifndef VMX_CLIENT_DELIVERY_H
#define VMX_CLIENT_DELIVERY_H

#include "ept.h"
#include "exceptions.h"

namespace {

constexpr u64 kNowhere = u64{1} << 62;  // not canonical: nothing can be pushed there

inline void test_nested_exceptions()
{
	{
		Test test("an exception while an exception is delivered");
		begin_long_mode(Controls(), vc_guest_ud2);
		write(kGuestRsp, kNowhere);
		write(kExceptionBitmap, bit(12) | bit(13));
		test.equal("reason", run(), kException);
		test.equal("IDT-vectoring information", read(kVectoringInfo), kInfoValid | 3 << 8 | 6);
	}
	{
		Test test("an exception while an exception with an error code is delivered");
		begin_long_mode(Controls(), vc_guest_gp);
		registers.rax = kNowhere;
		write(kGuestIdtrLimit, 13 * 16 - 1);
		write(kExceptionBitmap, bit(8));
		test.equal("reason", run(), kException);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 11 | 3 << 8 | 8);
		test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
	}
	{
		Test test("the IDT ends before the vector of INT n");
		begin_long_mode(Controls(), vc_guest_int_n);
		write(kGuestIdtrLimit, 0x42 * 16 - 1);
		write(kExceptionBitmap, bit(13));
		test.equal("reason", run(), kException);
		test.equal("error code", read(kExitError), 0x42 << 3 | 2);
	}
	{
		Test test("the IDT ends before the vector of #UD");
		begin_long_mode(Controls(), vc_guest_ud2);
		write(kGuestIdtrLimit, 6 * 16 - 1);
		write(kExceptionBitmap, bit(13));
		test.equal("reason", run(), kException);
		test.equal("error code", read(kExitError), 6 << 3 | 3);
		test.equal("IDT-vectoring information", read(kVectoringInfo), kInfoValid | 3 << 8 | 6);
	}
}

// The guest's IDT is at 4000H, where EPT maps nothing.
inline void begin_events(const Controls& controls, u64 entry)
{
	begin_long_mode_ept(controls);
	copy(context->guest_page[1], vc_guest_events, vc_guest_events_end - vc_guest_events);
	write(kGuestIdtrBase, 0x4000);
	write(kGuestRip, 0x1000 + entry);
}

inline void test_interrupted_delivery()
{
	const struct {
		const char* name;
		u64 entry;
		u32 vectoring;
	} executed[] = {
		{"EPT violation while INT n is delivered", 0, 4 << 8 | 0x42},
		{"EPT violation while INT3 is delivered", 16, 6 << 8 | 3},
		{"EPT violation while #UD is delivered", 32, 3 << 8 | 6},
	};
	Controls controls;
	for (const auto& one : executed) {
		Test test(one.name);
		begin_events(controls, one.entry);
		test.equal("reason", run(), kEptViolation);
		test.equal("IDT-vectoring information", read(kVectoringInfo), kInfoValid | one.vectoring);
		test.equal("RIP", read(kGuestRip), 0x1000 + one.entry);
	}
	controls.pin |= kPinVirtualNmis;
	const struct {
		const char* name;
		u32 info, error, length;
	} injected[] = {
		{"EPT violation while an injected interrupt is delivered", 0x50, 0, 0},
		{"EPT violation while an injected NMI is delivered", 2 << 8 | 2, 0, 0},
		{"EPT violation while an injected #GP is delivered", 1 << 11 | 3 << 8 | 13, 0x18, 0},
		{"EPT violation while an injected INT n is delivered", 4 << 8 | 0x61, 0, 2},
	};
	for (const auto& one : injected) {
		Test test(one.name);
		begin_events(controls, 0);
		write(kGuestRflags, 0x202);
		write(kEntryInfo, kInfoValid | one.info);
		write(kEntryError, one.error);
		write(kEntryLength, one.length);
		test.equal("reason", run(), kEptViolation);
		test.equal("IDT-vectoring information", read(kVectoringInfo), kInfoValid | one.info);
		test.equal("RIP", read(kGuestRip), 0x1000);
	}
	{
		Test test("EPT violation of IRET tells that NMIs were unblocked");
		begin_events(controls, 48);
		write(kGuestRsp, 0x5800);
		write(kInterruptibility, 8);
		test.equal("reason", run(), kEptViolation);
		test.equal("qualification bit 12", read(kQualification) & bit(12), bit(12));
		test.equal("interruptibility", read(kInterruptibility), 0);
	}
}

}  // namespace

#endif
