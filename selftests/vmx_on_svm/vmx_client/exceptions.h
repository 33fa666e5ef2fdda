// SPDX-License-Identifier: GPL-2.0
// Exceptions of the guest.
#ifndef VMX_CLIENT_EXCEPTIONS_H
#define VMX_CLIENT_EXCEPTIONS_H

#include "run.h"

namespace {

inline void make_guest_idt()
{
	for (u64 vector = 0; vector < 256; ++vector) {
		const u64 handler = address(vc_guest_handlers) + 16 * vector;
		context->idt[2 * vector] = (handler & 0xffff) | u64{host.cs} << 16 | u64{0x8e00} << 32 |
					   (handler >> 16 & 0xffff) << 48;
		context->idt[2 * vector + 1] = handler >> 32;
	}
}

inline u64 handler_reached() { return (read(kGuestRip) - address(vc_guest_handlers)) / 16; }

inline void test_exceptions()
{
	const struct {
		const char* name;
		const char* code;
		unsigned vector;
		u32 info;
		bool has_length;
		u32 length;
		u64 resume_flag;
	} cases[] = {
		{"exception: #UD", vc_guest_ud2, 6, 3 << 8 | 6, false, 0, bit(16)},
		{"exception: #BP", vc_guest_int3, 3, 6 << 8 | 3, true, 1, 0},
		{"exception: #DB of INT1", vc_guest_icebp, 1, 5 << 8 | 1, true, 1, 0},
		{"exception: #GP", vc_guest_gp, 13, 1 << 11 | 3 << 8 | 13, false, 0, bit(16)},
	};
	for (const auto& one : cases) {
		Test test(one.name);
		begin_long_mode(Controls(), one.code);
		write(kExceptionBitmap, bit(one.vector));
		registers.rax = u64{1} << 62;
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | one.info);
		if (one.has_length)
			test.equal("length", read(kExitLength), one.length);
		if (one.info & 1 << 11)
			test.equal("error code", read(kExitError), 0);
		test.equal("RIP", offset_of(one.code), 0);
		test.equal("RFLAGS", read(kGuestRflags), 2 | one.resume_flag);
	}
	{
		Test test("exception: #PF");
		begin_long_mode(Controls(), vc_guest_store);
		write(kExceptionBitmap, bit(14));
		registers.rdi = 0x7ffffffff000 - 0x123456;  // nothing of a kernel thread's or this process's
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 11 | 3 << 8 | 14);
		test.equal("error code", read(kExitError) & ~u64{1}, 2);
		test.equal("qualification", read(kQualification), 0x7ffffffff000 - 0x123456);
		write(kPageFaultMask, 2);
		write(kPageFaultMatch, 0);
		test.equal("reason if the error code does not match", run_undisturbed(), 18);
		test.equal("handler", handler_reached(), 14);
	}
	{
		Test test("exceptions that the guest handles");
		begin_long_mode(Controls(), vc_guest_ud2);
		test.equal("reason after #UD", run_undisturbed(), 18);
		test.equal("handler of #UD", handler_reached(), 6);
		start_at(vc_guest_int_n);
		test.equal("reason after INT n", run_undisturbed(), 18);
		test.equal("handler of INT n", handler_reached(), 0x42);
		start_at(vc_guest_int_n);
		write(kExceptionBitmap, bit(3));
		test.equal("reason after INT n with #BP in the bitmap", run_undisturbed(), 18);
		test.equal("handler of INT n with #BP in the bitmap", handler_reached(), 0x42);
		const u64* const frame = reinterpret_cast<u64*>(read(kGuestRsp));
		test.equal("RIP pushed", frame[0], address(vc_guest_int_n) + 2);
	}
	{
		Test test("exception: single step");
		begin_long_mode(Controls(), vc_guest_nops);
		write(kExceptionBitmap, bit(1));
		write(kGuestRflags, 0x102);
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 3 << 8 | 1);
		test.equal("qualification", read(kQualification), bit(14));
		test.equal("RIP", offset_of(vc_guest_nops), 1);
	}
	{
		Test test("exception: single step leaves DR6 alone");
		constexpr u64 kStale = 0xffff4ffa;
		u64 dr6 = kStale;
		begin_long_mode(Controls(), vc_guest_nops);
		write(kExceptionBitmap, bit(1));
		write(kGuestRflags, 0x102);
		asm volatile("mov %0, %%dr6" : : "r"(dr6));
		test.equal("reason", run(), 0);
		asm volatile("mov %%dr6, %0" : "=r"(dr6));
		test.equal("DR6", dr6, kStale);
		test.equal("qualification", read(kQualification), bit(14));
	}
	{
		Test test("exception: MOV to CR3 with a reserved bit");
		begin_long_mode(Controls(), vc_guest_mov_to_cr3);
		write(kExceptionBitmap, bit(13));
		registers.r15 = bit(60);
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 11 | 3 << 8 | 13);
		test.same("CR3", read(kGuestCr3), host.cr3);
	}
	{
		Test test("triple fault");
		begin_long_mode(Controls(), vc_guest_ud2);
		write(kGuestIdtrLimit, 0);
		test.equal("reason", run(), 2);
	}
}

}  // namespace

#endif
