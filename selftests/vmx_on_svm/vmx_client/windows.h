// SPDX-License-Identifier: GPL-2.0
// Interrupts, NMIs, the windows of both, and blocking.
#ifndef VMX_CLIENT_WINDOWS_H
#define VMX_CLIENT_WINDOWS_H

#include "exceptions.h"

namespace {

// The window opens behind the one instruction that is blocked.
inline void enter_blocked(Test& test, u64 interruptibility)
{
	Controls controls;
	controls.proc = kProcInterruptWindow;
	begin_long_mode(controls, vc_guest_nops);
	write(kGuestRflags, 0x202);
	write(kInterruptibility, interruptibility);
	test.equal("reason", run(), 7);
	test.equal("RIP", offset_of(vc_guest_nops), 1);
}

inline void test_interrupts()
{
	Controls acknowledge;
	acknowledge.exit |= kExitAcknowledge;
	{
		Test test("external interrupt");
		begin_long_mode(Controls(), vc_guest_spin);
		write(kGuestRflags, 0x202);
		test.equal("reason", enter_once(), kExternalInterrupt);
		test.equal("information is valid", read(kExitInfo) >> 31, 0);
		test.equal("interruptibility", read(kInterruptibility), 0);
		vc_interrupts_on_and_off();
	}
	{
		Test test("external interrupt, acknowledged");
		begin_long_mode(acknowledge, vc_guest_spin);
		write(kGuestRflags, 0x202);
		test.equal("reason", enter_once(), kExternalInterrupt);
		const u32 info = read(kExitInfo);
		test.equal("valid, type and reserved bits", info & ~u32{0xff}, kInfoValid);
		test.check("vector is one of the kernel's", (info & 0xff) >= 0x20);
		handle_interrupt();
	}
	{
		Test test("interrupt window");
		Controls controls;
		controls.proc = kProcInterruptWindow;
		begin_long_mode(controls, vc_guest_nops);
		write(kGuestRflags, 0x202);
		test.equal("reason", run(), 7);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
		begin_long_mode(controls, vc_guest_sti_nops);
		test.equal("reason after STI", run(), 7);
		test.equal("RIP after STI", offset_of(vc_guest_sti_nops), 2);
		test.equal("interruptibility after STI", read(kInterruptibility), 0);
	}
	{
		Test test("interrupt window: blocking by STI at VM-entry");
		enter_blocked(test, 1);
		test.equal("RFLAGS", read(kGuestRflags), 0x202);
	}
	{
		Test test("interrupt window: blocking by MOV SS at VM-entry");
		enter_blocked(test, 2);
	}
}

// The frame of an IRET to vc_guest_after_iretq.
inline void push_iret_frame()
{
	u64* const frame = reinterpret_cast<u64*>(context->stack + 2048) - 5;
	frame[0] = address(vc_guest_after_iretq);
	frame[1] = host.cs;
	frame[2] = 2;
	frame[3] = address(context->stack) + 2048;
	frame[4] = host.ss;
	write(kGuestRsp, address(frame));
}

// The guest sends itself an NMI.  A handler of the host's may change the destination of the next IPI: after each
// interrupt the guest begins anew.
inline u32 run_to_nmi(u64 apic)
{
	volatile u32* const page = reinterpret_cast<volatile u32*>(apic);
	for (;;) {
		page[0x310 / 4] = page[0x20 / 4];
		const u32 reason = enter_once();
		if (reason != kExternalInterrupt)
			return reason;
		handle_interrupt();
		start_at(vc_guest_store_and_spin);
	}
}

inline void test_nmis()
{
	Controls virtual_nmis;
	virtual_nmis.pin |= kPinVirtualNmis;
	Controls window = virtual_nmis;
	window.proc |= kProcNmiWindow;
	const u64 apic = vc_local_apic();

	if (apic) {
		Test test("NMI");
		for (unsigned i = 0; i < 3; ++i) {
			begin_long_mode(virtual_nmis, vc_guest_store_and_spin);
			registers.rdi = apic + 0x300;
			registers.rbx = 0x4400;
			write(kGuestRflags, 0x202);
			test.equal("reason", run_to_nmi(apic), 0);
			test.equal("information", read(kExitInfo), kInfoValid | 2 << 8 | 2);
			test.equal("interruptibility", read(kInterruptibility), 0);
			test.check("RIP",
				   offset_of(vc_guest_store_and_spin) >= 2 && offset_of(vc_guest_store_and_spin) <= 5);
			vc_call_nmi_handler();
		}
	}
	{
		Test test("NMI window");
		begin_long_mode(window, vc_guest_nops);
		test.equal("reason", run(), 8);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("NMI window: virtual-NMI blocking ends with IRET");
		begin_long_mode(window, vc_guest_iretq);
		write(kInterruptibility, 8);
		push_iret_frame();
		test.equal("reason", run(), 8);
		test.equal("RIP", offset_of(vc_guest_after_iretq), 0);
		test.equal("interruptibility", read(kInterruptibility), 0);
		test.equal("RFLAGS", read(kGuestRflags), 2);
	}
	{
		Test test("virtual-NMI blocking is kept");
		begin_long_mode(virtual_nmis, vc_guest_vmcall);
		write(kInterruptibility, 8);
		test.equal("reason", run(), 18);
		test.equal("interruptibility", read(kInterruptibility), 8);
		start_at(vc_guest_iretq);
		push_iret_frame();
		test.equal("reason after IRET", run(), 18);
		test.equal("interruptibility after IRET", read(kInterruptibility), 0);
	}
	{
		Test test("IRET that faults ends virtual-NMI blocking");
		begin_long_mode(virtual_nmis, vc_guest_iretq);
		write(kInterruptibility, 8);
		write(kExceptionBitmap, bit(13));
		push_iret_frame();
		reinterpret_cast<u64*>(context->stack + 2048)[-4] = 0xfff8;
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 12 | 1 << 11 | 3 << 8 | 13);
		test.equal("error code", read(kExitError), 0xfff8);
		test.equal("interruptibility", read(kInterruptibility), 0);
		test.equal("RIP", offset_of(vc_guest_iretq), 0);
	}
	{
		Test test("NMI window with an event injected");
		begin_long_mode(window, vc_guest_nops);
		write(kEntryInfo, kInfoValid | 3 << 8 | 6);
		test.equal("reason", run_undisturbed(), 8);
		test.equal("handler", handler_reached(), 6);
		test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
	}
	{
		Test test("virtual NMI injected");
		begin_long_mode(window, vc_guest_nops);
		write(kEntryInfo, kInfoValid | 2 << 8 | 2);
		test.equal("reason", run_undisturbed(), 18);
		test.equal("handler", handler_reached(), 2);
		test.equal("interruptibility", read(kInterruptibility), 8);
	}
}

}  // namespace

#endif
