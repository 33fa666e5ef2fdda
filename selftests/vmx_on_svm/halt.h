// SPDX-License-Identifier: GPL-2.0
// The activity state HLT.  VMRUN cannot load it: the CPU halts in two instructions of the stub's that run in a
// copy of Linux's control block, until an interrupt or an NMI is pending.
#ifndef VMX_ON_SVM_HALT_H
#define VMX_ON_SVM_HALT_H

#include "exit.h"

extern "C" const char vos_halt[];

namespace {

enum class Wake : u8 { Interrupt, Nmi };

// Neither is taken: it is still pending afterwards.
inline Wake halt_until_event(Cpu& cpu, bool interrupts_wake)
{
	Vmcb& halt = cpu.halt_vmcb;

	copy_bytes(&halt, &cpu.linux_vmcb, sizeof(halt));
	halt.rflags = kFlagReserved1 | kFlagInterrupt;
	halt.interrupt_state = 0;
	halt.event = 0;
	halt.interrupt_control = kVirtualInterruptMasking | (read_cr8() & kVirtualTprMask);
	halt.set_instruction_intercepts(kInterceptSvmInstructions | intercept(kExitInterrupt) | intercept(kExitNmi) |
					intercept(kExitShutdown));
	do {
		halt.rip = reinterpret_cast<u64>(vos_halt);
		vos_run_halted(cpu.physical(&halt), interrupts_wake);
	} while (halt.exit_code == kExitVmmcall);
	const u32 code = halt.exit_code;
	if (code != kExitInterrupt && code != kExitNmi)
		fatal("linux: an unexpected exit of a halted CPU", code, halt.rip);
	return code == kExitNmi ? Wake::Nmi : Wake::Interrupt;
}

}  // namespace

#endif
