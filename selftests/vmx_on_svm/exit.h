// SPDX-License-Identifier: GPL-2.0
// VM-exit: the guest's control block to the VMCS, and the host-state area to Linux's control block.
// SDM Vol. 3C, chapter 28.
#ifndef VMX_ON_SVM_EXIT_H
#define VMX_ON_SVM_EXIT_H

#include "events.h"
#include "pae_paging.h"
#include "preemption_timer.h"

namespace {

// Basic exit reasons.  SDM Vol. 3D, Appendix C.
enum ExitReason : u32 {
	kReasonException = 0,
	kReasonExternalInterrupt = 1,
	kReasonTripleFault = 2,
	kReasonInit = 3,
	kReasonSipi = 4,
	kReasonInterruptWindow = 7,
	kReasonNmiWindow = 8,
	kReasonCpuid = 10,
	kReasonHlt = 12,
	kReasonInvd = 13,
	kReasonInvlpg = 14,
	kReasonRdpmc = 15,
	kReasonRdtsc = 16,
	kReasonVmcall = 18,
	kReasonVmclear = 19,
	kReasonVmlaunch = 20,
	kReasonVmptrld = 21,
	kReasonVmptrst = 22,
	kReasonVmread = 23,
	kReasonVmresume = 24,
	kReasonVmwrite = 25,
	kReasonVmxoff = 26,
	kReasonVmxon = 27,
	kReasonCrAccess = 28,
	kReasonMovDr = 29,
	kReasonIo = 30,
	kReasonRdmsr = 31,
	kReasonWrmsr = 32,
	kReasonInvalidGuestState = 33,
	kReasonMsrLoading = 34,
	kReasonMwait = 36,
	kReasonMonitorTrap = 37,
	kReasonMonitor = 39,
	kReasonPause = 40,
	kReasonTprBelowThreshold = 43,
	kReasonEptViolation = 48,
	kReasonEptMisconfiguration = 49,
	kReasonInvept = 50,
	kReasonRdtscp = 51,
	kReasonPreemptionTimer = 52,
	kReasonInvvpid = 53,
	kReasonWbinvd = 54,
	kReasonXsetbv = 55,
};
constexpr u32 kReasonEntryFailure = bit(31);

struct Exit {
	u32 reason;
	u64 qualification = 0;
	u32 length = 0;
	u32 instruction_info = 0;
	u32 interruption = 0;
	u32 error = 0;
	u64 guest_linear = 0;
};

constexpr u32 kAccessUnusable = bit(16);

// The access rights of VMX and the attributes of SVM hold the same bits, the upper four moved.
constexpr u32 access_from_attributes(u16 attributes)
{
	return (attributes & 0xff) | u32(attributes & 0xf00) << 4 |
	       (attributes & kAttributePresent ? 0 : kAccessUnusable);
}

// A segment register that is loaded is accessed, and TR busy (SDM Vol. 3A, sections 3.4.5.1 and 8.2.2).  QEMU's far jump and
// LTR leave the descriptor's bits in the register as they were before.
constexpr u32 access_of_loaded_segment(unsigned number, u32 access)
{
	constexpr u32 kAccessed = bit(0), kBusy = bit(1), kCodeOrData = bit(4);
	if (access & kAccessUnusable)
		return access;
	if (access & kCodeOrData)
		return access | kAccessed;
	return number == kTr ? access | kBusy : access;
}

inline VmcbSegment& guest_segment(Cpu& cpu, unsigned number)
{
	Vmcb& vmcb = cpu.guest_vmcb;
	switch (number) {
	case kEs:
		return vmcb.es;
	case kCs:
		return vmcb.cs;
	case kSs:
		return vmcb.ss;
	case kDs:
		return vmcb.ds;
	case kFs:
		return vmcb.fs;
	case kGs:
		return vmcb.gs;
	case kLdtr:
		return vmcb.ldtr;
	default:
		return vmcb.tr;
	}
}

// What VMSAVE and VMLOAD move and VMX does not switch: the values stay live.
inline void copy_unswitched_msrs(Vmcb& to, const Vmcb& from)
{
	to.kernel_gs_base = from.kernel_gs_base;
	to.star = from.star;
	to.lstar = from.lstar;
	to.cstar = from.cstar;
	to.sfmask = from.sfmask;
}

// SDM Vol. 3C, section 28.3.
inline void save_guest_state(Cpu& cpu)
{
	const Vmcb& guest = cpu.guest_vmcb;

	for (unsigned i = 0; i < kSegmentCount; ++i) {
		const VmcbSegment& segment = guest_segment(cpu, i);
		// QEMU's LTR takes a null selector, which a CPU does not (SDM Vol. 2A, LTR): TR is what it was.
		if (i == kTr && !(segment.attributes & kAttributePresent))
			continue;
		cpu.write(Field::GuestEsSelector + i, segment.selector);
		cpu.write(Field::GuestEsBase + i, segment.base);
		cpu.write(Field::GuestEsLimit + i, segment.limit);
		cpu.write(Field::GuestEsAccess + i,
			  access_of_loaded_segment(i, access_from_attributes(segment.attributes)));
	}
	cpu.write(Field::GuestGdtrBase, guest.gdtr.base);
	cpu.write(Field::GuestGdtrLimit, guest.gdtr.limit);
	cpu.write(Field::GuestIdtrBase, guest.idtr.base);
	cpu.write(Field::GuestIdtrLimit, guest.idtr.limit);
	cpu.write(Field::GuestCr0, guest.cr0);
	cpu.write(Field::GuestCr3, guest_cr3(cpu));
	cpu.write(Field::GuestCr4, guest.cr4 | kCr4Vmxe);
	cpu.write(Field::GuestRip, guest.rip);
	cpu.write(Field::GuestRsp, guest.rsp);
	cpu.write(Field::GuestRflags, guest.rflags);
	cpu.write(Field::GuestSysenterCs, low_half(guest.sysenter_cs));
	cpu.write(Field::GuestSysenterEsp, guest.sysenter_esp);
	cpu.write(Field::GuestSysenterEip, guest.sysenter_eip);
	if (cpu.exit_controls & kExitSaveDebugControls) {
		cpu.write(Field::GuestDr7, guest.dr7);
		cpu.write(Field::GuestDebugControl, cpu.debug_control);
	}
	if (cpu.exit_controls & kExitSavePat)
		cpu.write(Field::GuestPat, rdmsr(kMsrPat));
	if (cpu.exit_controls & kExitSaveEfer)
		cpu.write(Field::GuestEfer, guest.efer & ~kEferSvme);
	// IA32_VMX_MISC bit 5.
	u64 entry_controls = cpu.entry_controls & ~kEntryIa32eMode;
	if (guest.efer & kEferLongModeActive)
		entry_controls |= kEntryIa32eMode;
	cpu.write(Field::EntryControls, entry_controls);
	cpu.write(Field::GuestInterruptibility, cpu.shadow | (cpu.nmi_blocked ? kBlockingByNmi : 0));
	cpu.write(Field::GuestActivity, cpu.activity);
	if (cpu.exit_controls & kExitSavePreemptionTimer)
		cpu.write(Field::PreemptionTimer, preemption_timer_left(cpu));
	// Kept where blocking by MOV SS holds them back, or where something takes priority over them.  SDM Vol. 3C, section 28.3.4.
	u64 pending = cpu.saved_debug;
	constexpr u64 kDebugControlBtf = bit(1);
	if (cpu.shadow & kBlockingByMovSs) {
		const bool stepping = (guest.rflags & kFlagTrap) && !(cpu.debug_control & kDebugControlBtf);
		pending |= cpu.pending_debug | (stepping ? kDr6SingleStep : 0);
	}
	if (pending & kDr6Breakpoints)
		pending |= kPendingEnabledBreakpoint;
	cpu.write(Field::GuestPendingDebug, pending);
	if (cpu.pdpte_window) {
		for (unsigned i = 0; i < 4; ++i)
			cpu.write(Field::GuestPdpte0 + i, cpu.pdpte[i]);
	}
}

inline void load_host_segment(VmcbSegment& segment, u64 selector, u64 base, u16 attributes, u32 limit = ~u32{0})
{
	segment.selector = selector;
	segment.base = base;
	segment.limit = limit;
	segment.attributes = selector ? attributes : 0;
}

constexpr u16 kAttributesCode64 = 0xa9b;
constexpr u16 kAttributesData = 0xc93;
constexpr u16 kAttributesBusyTss = 0x8b;

// SDM Vol. 3C, section 28.5.
inline void load_host_state(Cpu& cpu)
{
	Vmcb& host = cpu.root_vmcb;
	const Vmcb& guest = cpu.guest_vmcb;
	constexpr u64 kCr0Kept = kCr0NotWriteThrough | kCr0CacheDisable | kCr0ExtensionType;
	constexpr u32 kHostTssLimit = 0x67;
	constexpr u32 kHostTableLimit = 0xffff;

	load_host_segment(host.cs, cpu.read(Field::HostCsSelector), 0, kAttributesCode64);
	load_host_segment(host.ss, cpu.read(Field::HostSsSelector), 0, kAttributesData);
	load_host_segment(host.ds, cpu.read(Field::HostDsSelector), 0, kAttributesData);
	load_host_segment(host.es, cpu.read(Field::HostEsSelector), 0, kAttributesData);
	load_host_segment(host.fs, cpu.read(Field::HostFsSelector), cpu.read(Field::HostFsBase), kAttributesData);
	load_host_segment(host.gs, cpu.read(Field::HostGsSelector), cpu.read(Field::HostGsBase), kAttributesData);
	load_host_segment(host.tr, cpu.read(Field::HostTrSelector), cpu.read(Field::HostTrBase), kAttributesBusyTss,
			  kHostTssLimit);
	load_host_segment(host.ldtr, 0, 0, 0, 0);
	host.gdtr.base = cpu.read(Field::HostGdtrBase);
	host.gdtr.limit = kHostTableLimit;
	host.idtr.base = cpu.read(Field::HostIdtrBase);
	host.idtr.limit = kHostTableLimit;
	host.cpl = 0;
	host.cr0 = (cpu.read(Field::HostCr0) & ~kCr0Kept) | (guest.cr0 & kCr0Kept);
	host.cr3 = cpu.read(Field::HostCr3);
	host.cr4 = cpu.read(Field::HostCr4) & ~kCr4Vmxe;
	host.rip = cpu.read(Field::HostRip);
	host.rsp = cpu.read(Field::HostRsp);
	host.rflags = kFlagReserved1;
	host.sysenter_cs = cpu.read(Field::HostSysenterCs);
	host.sysenter_esp = cpu.read(Field::HostSysenterEsp);
	host.sysenter_eip = cpu.read(Field::HostSysenterEip);
	if (cpu.exit_controls & kExitLoadEfer)
		host.efer = cpu.read(Field::HostEfer) | kEferSvme;
	else
		host.efer = guest.efer | kEferLongMode | kEferLongModeActive;
	if (cpu.exit_controls & kExitLoadPat)
		wrmsr(kMsrPat, cpu.read(Field::HostPat));
	host.dr7 = kDr7Fixed1;
	cpu.debug_control = 0;
	// Registers that VMX does not switch.
	host.dr6 = cpu.guest_dr6;
	host.cr2 = guest.cr2;
	host.rax = guest.rax;
	copy_unswitched_msrs(host, guest);
	host.event = 0;
	host.interrupt_state = 0;

	vmload(Cpu::physical(&host));
	cpu.in_guest = false;
	cpu.state.run_vmcb = Cpu::physical(&host);
	cpu.state.interrupts_open = 0;
	if (load_msr_area(cpu, cpu.read(Field::ExitMsrLoadAddress), cpu.read(Field::ExitMsrLoadCount)))
		fatal("VMX abort 4: loading MSRs on VM-exit", cpu.read(Field::ExitReason), host.rip);
}

// Makes the guest exit right behind the event that VMRUN delivers: for what comes at that boundary.
inline void stop_after_delivery(Cpu& cpu)
{
	if (cpu.stop_after_delivery)
		return;
	cpu.stop_after_delivery = true;
	send_nmi_to_self(cpu);
}

inline void cancel_stop(Cpu& cpu)
{
	if (!cpu.stop_after_delivery)
		return;
	cpu.stop_after_delivery = false;
	take_own_nmi(cpu);
}

// The CPU's task-priority register, of which V_INTR_MASKING gave the guest a copy.
inline void restore_task_priority(Cpu& cpu)
{
	if (cpu.guest_vmcb.interrupt_control & kVirtualInterruptMasking)
		write_cr8(cpu.guest_vmcb.interrupt_control & kVirtualTprMask);
}

// An entry that fails after the checks on controls and host state.  SDM Vol. 3C, section 27.8.
inline void fail_entry(Cpu& cpu, ExitReason reason, u64 qualification)
{
	forget_pdptes(cpu);
	vmsave(Cpu::physical(&cpu.guest_vmcb));
	cpu.write(Field::ExitReason, kReasonEntryFailure | reason);
	cpu.write(Field::ExitQualification, qualification);
	load_host_state(cpu);
}

inline void exit_to_host(Cpu& cpu, const Exit& exit)
{
	// A triple fault is no exit during event delivery.  SDM Vol. 3C, section 28.2.4.
	const bool delivering = (cpu.delivery.info & kInfoValid) && exit.reason != kReasonTripleFault;
	u32 length = exit.length;

	cancel_stop(cpu);
	disarm_preemption_timer(cpu);
	restore_task_priority(cpu);
	vmsave(Cpu::physical(&cpu.guest_vmcb));
	if (delivering && is_software(info_type(cpu.delivery.info))) {
		cpu.guest_vmcb.rip = cpu.delivery.rip;
		length = cpu.delivery.length;
	}
	cpu.write(Field::ExitReason, exit.reason);
	cpu.write(Field::ExitQualification, exit.qualification);
	cpu.write(Field::ExitInstructionLength, length);
	cpu.write(Field::ExitInstructionInfo, exit.instruction_info);
	cpu.write(Field::ExitInterruptionInfo, exit.interruption);
	cpu.write(Field::ExitInterruptionError, exit.error);
	cpu.write(Field::GuestLinearAddress, exit.guest_linear);
	cpu.write(Field::IdtVectoringInfo, delivering ? cpu.delivery.info : 0);
	cpu.write(Field::IdtVectoringError, delivering ? cpu.delivery.error : 0);
	cpu.write(Field::EntryInterruptionInfo, cpu.read(Field::EntryInterruptionInfo) & ~u64{kInfoValid});
	save_guest_state(cpu);
	if (store_msr_area(cpu, cpu.read(Field::ExitMsrStoreAddress), cpu.read(Field::ExitMsrStoreCount)))
		fatal("VMX abort 1: saving MSRs on VM-exit", exit.reason, cpu.guest_vmcb.rip);
	forget_pdptes(cpu);
	cpu.preemption_timer.active = false;
	load_host_state(cpu);
}

}  // namespace

#endif
