// SPDX-License-Identifier: GPL-2.0
// An SVM guest of the monitor's own: a few instructions of entry.S, on the monitor's page tables and without nested paging,
// for what QEMU does in guest mode only, or what must not happen to the monitor itself.
#ifndef VMX_ON_SVM_MONITOR_GUEST_H
#define VMX_ON_SVM_MONITOR_GUEST_H

#include "exit.h"
#include "fatal.h"

extern "C" const char vos_halt[], vos_read_cr4[], vos_write_dr7[];

namespace {

inline Vmcb& prepare_monitor_guest(Cpu& cpu, const char* code)
{
	Vmcb& own = cpu.own_vmcb;

	copy_bytes(&own, &cpu.root_vmcb, sizeof(own));
	load_host_segment(own.cs, read_segment(kCs), 0, kAttributesCode64);
	load_host_segment(own.ss, read_segment(kSs), 0, kAttributesData);
	own.intercept_cr_read = own.intercept_cr_write = 0;
	own.intercept_exceptions = 0;
	own.nested_control = 0;
	own.cpl = 0;
	own.cr0 = read_cr0();
	own.cr3 = read_cr3();
	own.cr4 = read_cr4();
	own.efer = rdmsr(kMsrEfer);
	own.rip = reinterpret_cast<u64>(code);
	own.rflags = kFlagReserved1;
	own.interrupt_state = 0;
	own.event = 0;
	return own;
}

// QEMU from 9.1 on does not intercept reads of control registers.
inline bool intercepts_reads_of_cr4(Cpu& cpu)
{
	constexpr unsigned kCr4 = 4;
	Vmcb& own = prepare_monitor_guest(cpu, vos_read_cr4);

	own.intercept_cr_read = bit(kCr4);
	own.set_instruction_intercepts(kInterceptSvmInstructions | intercept(kExitShutdown));
	u64 address = Cpu::physical(&own);
	asm volatile("vmrun" : "+a"(address) : : "cc", "memory");
	return own.exit_code == kExitReadCr + u64{kCr4};
}

enum class Wake : u8 { Interrupt, Nmi };

// The activity state HLT, which VMRUN cannot load.  The event that ends it is not taken: it is still pending afterwards.
inline Wake halt_until_event(Cpu& cpu, bool interrupts_wake)
{
	Vmcb& own = prepare_monitor_guest(cpu, vos_halt);

	own.rflags |= kFlagInterrupt;
	own.interrupt_control = kVirtualInterruptMasking | (read_cr8() & kVirtualTprMask);
	own.set_instruction_intercepts(kInterceptSvmInstructions | intercept(kExitInterrupt) | intercept(kExitNmi) |
				       intercept(kExitShutdown));
	do {
		own.rip = reinterpret_cast<u64>(vos_halt);
		vos_run_halted(Cpu::physical(&own), interrupts_wake);
	} while (own.exit_code == kExitVmmcall);
	const u32 code = own.exit_code;
	if (code != kExitInterrupt && code != kExitNmi)
		fatal("unexpected exit of a halted CPU", code, own.rip);
	return code == kExitNmi ? Wake::Nmi : Wake::Interrupt;
}

// Takes root software's breakpoints out of the CPU, before a guest runs.
//
// QEMU keeps a list of the breakpoints that DR7 enables, and only MOV to DR7 keeps the two together: neither VMRUN nor
// #VMEXIT touches the list when it loads another DR7.  If VM-entry left root's breakpoints in the list, root's next MOV to
// DR7 would enter them a second time, and nothing could ever remove the first ones.
inline void disarm_root_breakpoints(Cpu& cpu)
{
	constexpr u64 kEnableAny = 0xff;

	if (!(cpu.root_vmcb.dr7 & kEnableAny))
		return;
	Vmcb& own = prepare_monitor_guest(cpu, vos_write_dr7);
	own.rax = kDr7Fixed1;
	own.interrupt_control = kVirtualInterruptMasking;
	own.set_instruction_intercepts(kInterceptSvmInstructions | intercept(kExitNmi) | intercept(kExitShutdown));
	bool had_nmi = false;
	for (;;) {
		u64 address = Cpu::physical(&own);
		asm volatile("vmrun" : "+a"(address) : : "cc", "memory");
		if (own.exit_code != kExitNmi)
			break;
		had_nmi = take_nmi(cpu);
	}
	if (had_nmi) {
		send_nmi_to_self(cpu);
		unblock_nmis();
	}
	if (own.exit_code != kExitVmmcall)
		fatal("unexpected exit while breakpoints were being cleared", own.exit_code, own.rip);
	cpu.root_vmcb.dr7 = kDr7Fixed1;
}

}  // namespace

#endif
