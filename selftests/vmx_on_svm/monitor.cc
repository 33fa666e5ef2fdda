// SPDX-License-Identifier: GPL-2.0
/*
 * A VMX CPU on AMD's SVM.  From the option ROM on everything that the machine runs is the guest of this monitor, and finds a CPU
 * with VMX.  It runs with GIF=0, on page tables, an IDT and stacks of its own, and prints nothing but its last words (fatal.h).
 *
 * Declared differences from a VMX CPU:
 *  - STI blocks interrupts also when they were enabled before, and there is no single-step trap after it: QEMU's way.
 *    Nor does the monitor trap flag exit behind STI and MOV SS, but behind the next instruction.
 *  - With the monitor trap flag and without external-interrupt exiting, interrupts wait.
 *  - Without virtual NMIs, blocking by NMI also holds back the VMX-preemption timer up to the next exit, and the monitor trap flag
 *    behind the injection of an NMI.  What the guest itself reads of the local APIC's timer is the VMX-preemption timer's.
 *  - Task switches of the guest are not intercepted: QEMU executes them.
 *  - EPT: no execute-only pages. QEMU probes accesses to guest page tables as stores, so a page table on a page without write
 *    permission gives an EPT violation for a write also without accessed and dirty flags of EPT. The guest-linear
 *    address (qualification bit 7) is worked out from the instruction or the event; where that fails, as for far
 *    transfers and task switches, it is not reported. A guest-physical address is translated one page at a time: pages
 *    larger than 2 MiB are filled in pieces.
 *  - PAE paging without EPT: MOV to CR3 does not load the guest's PDPTEs; they are read from memory at each walk.
 *  - IRET unblocks physical NMIs also with "NMI exiting" and without "virtual NMIs".
 *  - Blocking by STI and by MOV SS at VM-entry is kept by single-stepping, and only where it can be told from its
 *    absence: with interrupt-window or NMI-window exiting, or without external-interrupt exiting.
 *  - A software event that is injected and faults before it is delivered pushes the RIP of the next instruction if the
 *    fault is delivered through the guest's IDT.
 *  - QEMU 7.2 does not intercept XSETBV, which the guest then executes.
 *  - RDMSR and WRMSR of MSRs that do not exist raise no #GP, and there are no alignment checks (#AC): QEMU's way.
 *  - A page fault by a reserved bit has error code bit 0 clear, unless it exits: QEMU's way.
 *  - PAE paging with EPT that maps all of the lower 4 GiB, and not the monitor's memory among it: the guest's PDPTEs are read
 *    from memory at each walk.
 *  - MONITOR and MWAIT with an invalid RCX raise #GP instead of exiting. QEMU has no performance counters: RDPMC
 *    without RDPMC exiting is #UD.
 *  - Breakpoints in a DR7 that VM-entry loads are armed by the guest's next write to DR7: QEMU's VMRUN does not.
 *  - Segment limits are not enforced: QEMU does not.
 *  - IA32_DEBUGCTL holds what is written to it and has no effect.
 *  - A VMX abort stops the machine with a message.
 *  - SMM, SMX and the dual-monitor treatment do not exist.
 *  - Pending debug exceptions are lost if VM-entry injects a software event while MOV SS blocks.
 *  - The local APIC cannot be moved from its address, and is not written by ADC, SBB, MOVS or vector instructions.
 *  - An INIT with a logical destination is not blocked by VMX operation.  The boot CPU takes an INIT when NMIs are not blocked.
 *  - Devices can access the monitor's memory: DMA is not translated.
 */

#include "guest_exits.h"
#include "root_exits.h"

extern "C" {

// Called by entry.S.
void vos_start_cpu(Cpu* cpu, u32 apic_id, StartPage* page);
void vos_handle_exit(Cpu* cpu);
void vos_handle_monitor_fault(const u64* frame, u64 cr2);

void vos_start_cpu(Cpu* cpu, u32 apic_id, StartPage* page) { start_cpu(*cpu, apic_id, *page); }

void vos_handle_exit(Cpu* cpu)
{
	++cpu->statistics.exits;
	if (!cpu->in_guest) {
		RootExit(*cpu).handle();
		return;
	}
	take_pae_back(*cpu);
	GuestExit(*cpu).handle();
}

// The vector, the error code if there is one, RIP and so on; and CR2.
void vos_handle_monitor_fault(const u64* frame, u64 cr2)
{
	const u64 vector = frame[0];
	print("\r\nVMX ROM: CR2 ");
	print_hex(cr2);
	fatal("exception in the monitor", vector, has_error_code(vector) ? frame[2] : frame[1]);
}

}  // extern "C"
