// SPDX-License-Identifier: GPL-2.0
// Events injected by VM-entry.
#ifndef VMX_CLIENT_INJECTION_H
#define VMX_CLIENT_INJECTION_H

#include "exceptions.h"

namespace {

inline void test_injection()
{
	const struct {
		const char* name;
		u32 info, error, length;
		u64 frame_words;  // error code included
		u64 pushed_offset;
	} cases[] = {
		{"injection: external interrupt", 0 << 8 | 0x50, 0, 0, 5, 0},
		{"injection: NMI", 2 << 8 | 2, 0, 0, 5, 0},
		{"injection: #UD", 3 << 8 | 6, 0, 0, 5, 0},
		{"injection: #GP", 1 << 11 | 3 << 8 | 13, 0x1230, 0, 6, 0},
		{"injection: software interrupt", 4 << 8 | 0x61, 0, 2, 5, 2},
		{"injection: INT1", 5 << 8 | 1, 0, 1, 5, 1},
		{"injection: INT3", 6 << 8 | 3, 0, 1, 5, 1},
	};
	for (const auto& one : cases) {
		Test test(one.name);
		begin_long_mode(Controls(), vc_guest_nops);
		write(kGuestRflags, 0x202);
		write(kEntryInfo, kInfoValid | one.info);
		write(kEntryError, one.error);
		write(kEntryLength, one.length);
		test.equal("reason", run_undisturbed(), 18);
		test.equal("handler", handler_reached(), one.info & 0xff);
		const u64* const frame = reinterpret_cast<u64*>(read(kGuestRsp));
		const u64 words = (address(context->stack) + 2048 - address(frame)) / 8;
		test.equal("words pushed", words, one.frame_words);
		if (words == 6)
			test.equal("error code", frame[0], one.error);
		test.equal("RIP pushed", frame[words - 5], address(vc_guest_nops) + one.pushed_offset);
		test.equal("valid bit afterwards", read(kEntryInfo) >> 31, 0);
		test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
		test.equal("RFLAGS.IF", read(kGuestRflags) & 0x200, 0);
		const bool nmi = (one.info & 0xff) == 2;
		if (nmi)
			test.equal("blocking by NMI", read(kInterruptibility), 8);
	}
	// The injected NMI has blocked NMIs: end that.
	vc_call_nmi_handler();
	{
		Test test("IDT-vectoring information of an injected event");
		begin_long_mode(Controls(), vc_guest_nops);
		write(kEntryInfo, kInfoValid | 4 << 8 | 0x61);
		write(kEntryLength, 2);
		write(kExceptionBitmap, bit(13));
		write(kGuestIdtrLimit, 0x20 * 16 - 1);
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 11 | 3 << 8 | 13);
		test.equal("error code is of the IDT", read(kExitError) & 7, 2);
		test.equal("IDT-vectoring information", read(kVectoringInfo), kInfoValid | 4 << 8 | 0x61);
		test.equal("length", read(kExitLength), 2);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("pending debug exception");
		begin_long_mode(Controls(), vc_guest_nops);
		write(kExceptionBitmap, bit(1));
		write(kGuestRflags, 0x102);
		write(kPendingDebug, bit(14));
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 3 << 8 | 1);
		test.equal("qualification", read(kQualification), bit(14));
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
}

}  // namespace

#endif
