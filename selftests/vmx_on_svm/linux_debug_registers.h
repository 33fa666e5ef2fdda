// SPDX-License-Identifier: GPL-2.0
// Linux's breakpoints, taken out of the CPU before a guest runs.
//
// QEMU keeps a list of the breakpoints that DR7 enables, and only MOV to DR7 keeps the two together: neither VMRUN nor
// #VMEXIT touches the list when it loads another DR7.  If VM-entry left Linux's breakpoints in the list, Linux's next
// MOV to DR7 would enter them a second time, and nobody could ever remove the first ones.
#ifndef VMX_ON_SVM_LINUX_DEBUG_REGISTERS_H
#define VMX_ON_SVM_LINUX_DEBUG_REGISTERS_H

#include "exit.h"
#include "fatal.h"

extern "C" const char vos_write_dr7[];

namespace {

// Has Linux itself clear DR7, with an MOV of its own: two instructions at vos_write_dr7, then back to where it was.
// An NMI may come in between, whose handler must not need the stub.
inline void disarm_linux_breakpoints(Cpu& cpu)
{
	constexpr u64 kEnableAny = 0xff;
	Vmcb& host = cpu.linux_vmcb;

	if (!(host.dr7 & kEnableAny))
		return;
	const u64 rip = host.rip, rax = host.rax, rflags = host.rflags, interrupt_state = host.interrupt_state;
	host.rip = reinterpret_cast<u64>(vos_write_dr7);
	host.rax = kDr7Fixed1;
	host.rflags = bit(1);
	host.interrupt_state = 0;
	u64 address = cpu.physical(&host);
	asm volatile("vmrun" : "+a"(address) : : "cc", "memory");
	if (host.exit_code != kExitVmmcall)
		fatal("linux: an exit while its breakpoints were being cleared", host.exit_code, host.rip);
	host.rip = rip;
	host.rax = rax;
	host.rflags = rflags;
	host.interrupt_state = interrupt_state;
}

}  // namespace

#endif
