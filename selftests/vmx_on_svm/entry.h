// SPDX-License-Identifier: GPL-2.0
// VM-entry: from VMLAUNCH and VMRESUME to the guest's control block.  SDM Vol. 3C, chapter 27.
#ifndef VMX_ON_SVM_ENTRY_H
#define VMX_ON_SVM_ENTRY_H

#include "entry_checks.h"
#include "monitor_guest.h"
#include "step.h"

namespace {

constexpr u32 kContributoryExceptions = bit(kDivideError) | bit(kInvalidTss) | bit(kSegmentNotPresent) |
					bit(kStackFault) | bit(kGeneralProtection);

// The exceptions that must reach the monitor, for the guest's exception bitmap and for the emulation.
inline u32 exception_intercepts(Cpu& cpu)
{
	const u32 bitmap = cpu.exception_bitmap;
	// #UD hides the VMX instructions.  A #DB may be one that blocking by MOV SS holds back.
	u32 intercepts = bitmap | bit(kInvalidOpcode) | bit(kDebug);

	if (cpu.step != Step::None)
		return ~u32{0};
	// An error code that matches or not may turn the bit for #PF over.  SDM Vol. 3C, section 26.2.
	if (cpu.read(Field::PageFaultErrorMask) || cpu.read(Field::PageFaultErrorMatch))
		intercepts |= bit(kPageFault);
	// QEMU raises a double fault without asking the intercepts: it is made from its two exceptions here.
	if (bitmap & bit(kDoubleFault))
		intercepts |= kContributoryExceptions | bit(kPageFault);
	return intercepts;
}

inline u64 instruction_intercepts(Cpu& cpu)
{
	const struct {
		u64 wanted;
		u64 intercepts;
	} conditional[] = {
		{cpu.pin_controls & kPinExternalInterruptExiting, intercept(kExitInterrupt)},
		{cpu.proc_controls & kProcInterruptWindowExiting, intercept(kExitVirtualInterrupt)},
		{cpu.proc_controls & kProcInvlpgExiting, intercept(kExitInvlpg)},
		{cpu.proc_controls & kProcRdpmcExiting, intercept(kExitRdpmc)},
		// QEMU 7.2 intercepts RDTSCP as RDTSC; it is #UD unless enabled.  A guest must not see a TSC past the deadline.
		{(cpu.proc_controls & kProcRdtscExiting) || !(cpu.proc2_controls & kProc2Rdtscp) || scales_tsc(cpu) ||
			 preemption_timer_is_near(cpu),
		 intercept(kExitRdtsc)},
		{cpu.proc_controls & (kProcUnconditionalIoExiting | kProcIoBitmaps), intercept(kExitIo)},
		{cpu.proc_controls & kProcMonitorExiting, intercept(kExitMonitor)},
		{(cpu.proc_controls & kProcPauseExiting) || (cpu.proc2_controls & kProc2PauseLoopExiting),
		 intercept(kExitPause)},
		{cpu.nmi_blocked, intercept(kExitIret)},
		// INT3 and INTO reach this intercept, and not those of #BP and #OF.
		{(cpu.exception_bitmap & (bit(kBreakpoint) | bit(kOverflow))) || cpu.step == Step::Shadow ||
			 cpu.step == Step::Trap,
		 intercept(kExitSoftwareInterrupt)},
	};
	// QEMU reports INVD as WBINVD.  An NMI may be that of send_init().
	u64 intercepts = kInterceptSvmInstructions | intercept(kExitCpuid) | intercept(kExitInvd) |
			 intercept(kExitHlt) | intercept(kExitMsr) | intercept(kExitShutdown) | intercept(kExitRdtscp) |
			 intercept(kExitIcebp) | intercept(kExitWbinvd) | intercept(kExitXsetbv) |
			 intercept(kExitMwait) | intercept(kExitNmi);
	for (const auto& condition : conditional) {
		if (condition.wanted)
			intercepts |= condition.intercepts;
	}
	return intercepts;
}

// QEMU's #VMEXIT loads CR0 while EFER is still the guest's: with LME and without CR4.PAE it takes that for a mistake, leaves
// CR0 as it is, and goes on without paging.  Without paging PAE means nothing, and the guest reads CR4 through an exit.
inline void lend_pae(Cpu& cpu)
{
	Vmcb& guest = cpu.guest_vmcb;
	cpu.lent_cr4 = guest.efer & kEferLongMode ? kCr4PhysicalAddressExtension & ~guest.cr4 : 0;
	guest.cr4 |= cpu.lent_cr4;
}

inline void take_pae_back(Cpu& cpu)
{
	cpu.guest_vmcb.cr4 &= ~cpu.lent_cr4;
	cpu.lent_cr4 = 0;
}

// Whether something comes right behind the event that is being delivered.
inline bool wants_stop_after_delivery(Cpu& cpu)
{
	const bool wanted = (cpu.proc_controls & kProcMonitorTrapFlag) || preemption_timer_expired(cpu) ||
			    ((cpu.proc_controls & kProcNmiWindowExiting) && !cpu.nmi_blocked);
	return wanted && !blocks_nmis_itself(cpu);
}

// The last thing before the guest runs, again after each exit that the monitor handles itself.
inline void prepare_to_run(Cpu& cpu)
{
	Vmcb& guest = cpu.guest_vmcb;
	const bool external_exiting = cpu.pin_controls & kPinExternalInterruptExiting;
	const bool stepping = cpu.step != Step::None;
	const bool interrupts_exit = external_exiting && (!stepping || cpu.step == Step::Trap);
	const bool window = (cpu.proc_controls & kProcInterruptWindowExiting) && cpu.step != Step::Shadow;

	guest.dr6 = kDr6Fixed1;
	if (stepping)
		begin_step(cpu);
	constexpr u16 kCr3 = bit(3);
	guest.intercept_cr_read &= ~kCr3;
	guest.intercept_cr_write &= ~kCr3;
	if (cpu.pdpte_window || (cpu.proc_controls & kProcCr3StoreExiting))
		guest.intercept_cr_read |= kCr3;
	if (cpu.pdpte_window || (cpu.proc_controls & kProcCr3LoadExiting))
		guest.intercept_cr_write |= kCr3;
	guest.intercept_exceptions = exception_intercepts(cpu);
	guest.set_instruction_intercepts(instruction_intercepts(cpu));
	guest.interrupt_control &= kVirtualTprMask;
	if (external_exiting || stepping)
		guest.interrupt_control |= kVirtualInterruptMasking;
	if (window)
		guest.interrupt_control |= kVirtualInterruptPending | kVirtualInterruptPriority |
					   kVirtualInterruptIgnoreTpr;
	guest.tlb_control = kFlushTlb;
	cpu.state.interrupts_open = interrupts_exit;
	lend_pae(cpu);
	arm_preemption_timer(cpu);
}

// Whether blocking by STI or MOV SS can be told apart from its absence by the next event.
inline bool shadow_matters(Cpu& cpu)
{
	return cpu.pending_debug || (cpu.proc_controls & (kProcInterruptWindowExiting | kProcNmiWindowExiting)) ||
	       !(cpu.pin_controls & kPinExternalInterruptExiting);
}

inline void load_guest_segments(Cpu& cpu)
{
	for (unsigned i = 0; i < kSegmentCount; ++i) {
		VmcbSegment& segment = guest_segment(cpu, i);
		const u32 access = cpu.read(Field::GuestEsAccess + i);
		segment.selector = cpu.read(Field::GuestEsSelector + i);
		segment.base = cpu.read(Field::GuestEsBase + i);
		segment.limit = cpu.read(Field::GuestEsLimit + i);
		if (access & kAccessUnusable)
			segment.attributes = i == kSs ? access & kAttributeDplMask : 0;
		else
			segment.attributes = (access & 0xff) | (access >> 4 & 0xf00);
	}
	cpu.guest_vmcb.cpl = cpu.guest_vmcb.ss.attributes >> 5 & 3;
}

// SDM Vol. 3C, section 27.3.2.
inline void load_guest_state(Cpu& cpu)
{
	Vmcb& guest = cpu.guest_vmcb;
	const Vmcb& host = cpu.root_vmcb;
	constexpr u64 kCr0Kept = kCr0NotWriteThrough | kCr0CacheDisable | kCr0ExtensionType;
	constexpr u64 kLong = kEferLongMode | kEferLongModeActive;

	load_guest_segments(cpu);
	guest.gdtr.base = cpu.read(Field::GuestGdtrBase);
	guest.gdtr.limit = cpu.read(Field::GuestGdtrLimit);
	guest.idtr.base = cpu.read(Field::GuestIdtrBase);
	guest.idtr.limit = cpu.read(Field::GuestIdtrLimit);
	guest.cr0 = (cpu.read(Field::GuestCr0) & kCr0Defined & ~kCr0Kept) | (host.cr0 & kCr0Kept);
	guest.cr3 = cpu.read(Field::GuestCr3);
	guest.cr4 = cpu.read(Field::GuestCr4) & ~kCr4Vmxe;
	guest.rip = cpu.read(Field::GuestRip);
	guest.rsp = cpu.read(Field::GuestRsp);
	guest.rflags = cpu.read(Field::GuestRflags);
	guest.dr7 = cpu.root_dr7;
	if (cpu.entry_controls & kEntryLoadDebugControls) {
		guest.dr7 = (cpu.read(Field::GuestDr7) & ~kDr7Fixed0) | kDr7Fixed1;
		cpu.debug_control = cpu.read(Field::GuestDebugControl);
	}
	if (cpu.entry_controls & kEntryLoadEfer)
		guest.efer = cpu.read(Field::GuestEfer);
	else if (cpu.entry_controls & kEntryIa32eMode)
		guest.efer = host.efer | kLong;
	else if (guest.cr0 & kCr0Paging)
		guest.efer = host.efer & ~kLong;
	else
		guest.efer = host.efer & ~kEferLongModeActive;
	guest.efer |= kEferSvme;
	guest.sysenter_cs = cpu.read(Field::GuestSysenterCs);
	guest.sysenter_esp = cpu.read(Field::GuestSysenterEsp);
	guest.sysenter_eip = cpu.read(Field::GuestSysenterEip);
	// Registers that VMX does not switch.
	guest.cr2 = host.cr2;
	cpu.guest_dr6 = host.dr6;
	guest.rax = host.rax;
	copy_unswitched_msrs(guest, host);

	cpu.pdpte_window = 0;
	if (cpu.ept() && pae_paging(guest)) {
		u64 pdpte[4];
		for (unsigned i = 0; i < 4; ++i)
			pdpte[i] = cpu.read(Field::GuestPdpte0 + i);
		use_pdptes(cpu, pdpte, guest.cr3);
	}
}

// Every access exits at first: copying the bitmaps at each VM-entry takes long, and software may change them at any time.
inline void fill_io_map(Cpu& cpu)
{
	if (cpu.io_map_is_full)
		return;
	fill_bytes(cpu.io_map, 0xff, kIoMapBytes);
	cpu.io_map_is_full = true;
}

// Until the next VM-entry, for string I/O that the bitmaps do not want.
inline void load_io_map(Cpu& cpu)
{
	copy_bytes(cpu.io_map, cpu.memory(cpu.read(Field::IoBitmapA)), kPageBytes);
	copy_bytes(cpu.io_map + kPageBytes, cpu.memory(cpu.read(Field::IoBitmapB)), kPageBytes);
	// An access that wraps around port FFFFH exits.
	fill_bytes(cpu.io_map + 2 * kPageBytes, 0xff, 4);
	cpu.io_map_is_full = false;
}

// QEMU 7.2 delivers an interrupt inside of VMRUN and keeps its vector as that of a pending exception: it is delivered once
// more if QEMU turns to another CPU before the guest's first instruction.  A software event does not stay behind, and
// differs in the check of the gate's DPL alone, which CPL 0 passes always.  Nor does QEMU take vector 31 for that of an
// exception.
inline u32 svm_event_type(u32 type, u32 vector, u8 cpl)
{
	constexpr u32 kNoExceptionOfQemus = 31;
	if (type == kTypeHardwareException && vector == kNoExceptionOfQemus)
		type = kTypeExternalInterrupt;
	switch (type) {
	case kTypeExternalInterrupt:
		return cpl ? kEventInterrupt : kEventSoftware;
	case kTypeNmi:
		return kEventNmi;
	case kTypeSoftwareInterrupt:
	case kTypeSoftwareException:
		return kEventSoftware;
	default:
		return kEventException;
	}
}

// Makes the next VMRUN deliver the event.
inline void schedule_delivery(Cpu& cpu, const Delivery& delivery)
{
	Vmcb& guest = cpu.guest_vmcb;
	const u32 vector = delivery.info & kEventVectorMask;

	cpu.delivery = delivery;
	guest.event = vector | svm_event_type(info_type(delivery.info), vector, guest.cpl) | kEventValid;
	if (delivery.info & kInfoErrorCode)
		guest.event |= kEventErrorCode;
	guest.event_error = delivery.error;
	// VMRUN pushes the RIP it loads: for software events that is the next instruction's.
	guest.rip = delivery.rip;
	if (is_software(info_type(delivery.info)))
		guest.rip += delivery.length;
}

// An exception of the guest, to be raised when it runs next.
inline void schedule_exception(Cpu& cpu, unsigned vector, u32 error)
{
	const bool with_error = has_error_code(vector) && (cpu.guest_vmcb.cr0 & kCr0ProtectionEnable);
	schedule_delivery(cpu, {interruption_info(vector, kTypeHardwareException, with_error), error, 0,
				cpu.guest_vmcb.rip, false});
}

// External interrupts and NMIs that make the guest exit.
inline void exit_for_interrupt(Cpu& cpu)
{
	// It takes priority, and leaves the interrupt pending.
	if (preemption_timer_expired(cpu)) {
		exit_to_host(cpu, {.reason = kReasonPreemptionTimer});
		return;
	}
	Exit exit{.reason = kReasonExternalInterrupt};
	if (cpu.exit_controls & kExitAcknowledgeInterrupt) {
		const u64 vector = acknowledge_interrupt(cpu);
		if (vector != kNoVector)
			exit.interruption = interruption_info(vector, kTypeExternalInterrupt);
	}
	exit_to_host(cpu, exit);
}

// Of send_init(), if an INIT is pending.  False if it is the guest's own.
inline bool exit_for_init(Cpu& cpu)
{
	if (!take_init(cpu))
		return false;
	take_own_nmi(cpu);
	exit_to_host(cpu, {.reason = kReasonInit});
	return true;
}

inline void exit_for_nmi(Cpu& cpu)
{
	disarm_preemption_timer(cpu);
	take_nmi(cpu);
	__atomic_store_n(&cpu.nmi_sent, false, __ATOMIC_SEQ_CST);
	exit_to_host(cpu, {.reason = kReasonException, .interruption = interruption_info(kNmi, kTypeNmi)});
}

// What comes between two instructions before interrupts and NMIs do.  True if it is a VM-exit.
inline bool exit_at_boundary(Cpu& cpu)
{
	if (preemption_timer_expired(cpu)) {
		exit_to_host(cpu, {.reason = kReasonPreemptionTimer});
		return true;
	}
	if ((cpu.proc_controls & kProcNmiWindowExiting) && !cpu.nmi_blocked && !cpu.shadow) {
		exit_to_host(cpu, {.reason = kReasonNmiWindow});
		return true;
	}
	return false;
}

// Nothing but a SIPI ends this state.
inline void wait_for_sipi(Cpu& cpu)
{
	bool held_back = false;
	u32 sipi;
	while (!(sipi = __atomic_exchange_n(&cpu.sipi, 0, __ATOMIC_SEQ_CST))) {
		halt_until_event(cpu, false);
		// The monitor's own, or one that is blocked here.
		held_back |= !__atomic_load_n(&cpu.sipi, __ATOMIC_SEQ_CST) &&
			     !__atomic_load_n(&cpu.init_pending, __ATOMIC_SEQ_CST);
		held_back |= __atomic_exchange_n(&cpu.nmi_sent, false, __ATOMIC_SEQ_CST);
		take_nmi(cpu);
		unblock_nmis();
	}
	if (held_back)
		send_nmi_to_self(cpu);
	exit_to_host(cpu, {.reason = kReasonSipi, .qualification = sipi & ~kSipiValid});
}

// The guest is inactive.  False if that ended in a VM-exit; otherwise the guest is active when it runs.
inline bool stay_inactive(Cpu& cpu)
{
	if (cpu.activity == kActivityWaitForSipi) {
		wait_for_sipi(cpu);
		return false;
	}
	const bool halted = cpu.activity == kActivityHlt;
	const bool interrupts_exit = halted && (cpu.pin_controls & kPinExternalInterruptExiting);
	const bool interrupts_enabled = halted && (cpu.guest_vmcb.rflags & kFlagInterrupt);

	for (;;) {
		// A window wakes the CPU as the event itself would.  SDM Vol. 3C, section 26.2.
		if (exit_at_boundary(cpu))
			return false;
		if ((cpu.proc_controls & kProcInterruptWindowExiting) && interrupts_enabled && !cpu.shadow) {
			exit_to_host(cpu, {.reason = kReasonInterruptWindow});
			return false;
		}
		arm_preemption_timer(cpu);
		const Wake wake = halt_until_event(cpu, interrupts_exit || interrupts_enabled);
		if (wake == Wake::Interrupt && interrupts_exit) {
			exit_for_interrupt(cpu);
			return false;
		}
		if (wake == Wake::Nmi && exit_for_init(cpu))
			return false;
		if (wake == Wake::Nmi && take_preemption_nmi(cpu))
			continue;
		if (wake == Wake::Nmi && (cpu.pin_controls & kPinNmiExiting)) {
			exit_for_nmi(cpu);
			return false;
		}
		cpu.activity = kActivityActive;
		return true;
	}
}

// SDM Vol. 3C, sections 27.6 and 27.7: injection, interruptibility, pending debug exceptions, windows.
inline void begin_guest(Cpu& cpu)
{
	Vmcb& guest = cpu.guest_vmcb;
	const u64 interruptibility = cpu.read(Field::GuestInterruptibility);
	const u64 pending_debug = cpu.read(Field::GuestPendingDebug);
	const u32 info = cpu.read(Field::EntryInterruptionInfo);
	const bool injects_trap = (info & kInfoValid) && info_type(info) == kTypeOther;
	const bool injects = (info & kInfoValid) && !injects_trap;
	const bool injects_nmi = injects && info_type(info) == kTypeNmi;

	cpu.delivery = {};
	cpu.debug_reported = 0;
	cpu.step = Step::None;
	cpu.iret_unblocked = false;
	cpu.shadow = interruptibility & (kBlockingBySti | kBlockingByMovSs);
	cpu.shadow_rip = guest.rip;
	cpu.nmi_blocked = interruptibility & kBlockingByNmi;
	__atomic_store_n(&cpu.activity, injects ? kActivityActive : static_cast<u32>(cpu.read(Field::GuestActivity)),
			 __ATOMIC_SEQ_CST);
	cpu.saved_debug = 0;
	cpu.completed = false;
	cpu.first_pause = cpu.last_pause = 0;
	cpu.pending_debug = injects ? 0 : debug_exceptions(pending_debug);
	guest.event = 0;
	if (injects) {
		schedule_delivery(cpu, {info, static_cast<u32>(cpu.read(Field::EntryExceptionError)),
					static_cast<u32>(cpu.read(Field::EntryInstructionLength)), guest.rip, true});
		cpu.shadow = 0;
		cpu.nmi_blocked |= injects_nmi;
	}
	if (!(cpu.pin_controls & kPinVirtualNmis) && cpu.nmi_blocked)
		block_nmis(cpu);
	else
		unblock_nmis();
	if (!cpu.nmi_blocked)
		forget_taken_nmis(cpu);

	// An INIT comes with the event that is injected, if any.
	const bool has_init = __atomic_load_n(&cpu.init_pending, __ATOMIC_SEQ_CST) &&
			      cpu.activity != kActivityWaitForSipi;
	if (has_init && !injects) {
		exit_for_init(cpu);
		return;
	}
	if (has_init)
		send_nmi_to_self(cpu);
	if (injects_trap) {
		cpu.saved_debug = cpu.pending_debug;
		exit_to_host(cpu, {.reason = kReasonMonitorTrap});
		return;
	}

	// Only MOV SS holds debug exceptions back.
	if (cpu.pending_debug && !(cpu.shadow & kBlockingByMovSs)) {
		const u64 pending = cpu.pending_debug;
		cpu.pending_debug = 0;
		cpu.activity = kActivityActive;
		if (cpu.exception_bitmap & bit(kDebug)) {
			exit_to_host(cpu, {.reason = kReasonException,
					   .qualification = pending,
					   .interruption = interruption_info(kDebug, kTypeHardwareException)});
			return;
		}
		set_reported(cpu, pending);
		cpu.shadow = 0;
		schedule_exception(cpu, kDebug, 0);
	}
	if (guest.event & kEventValid) {
		if (wants_stop_after_delivery(cpu))
			stop_after_delivery(cpu);
	} else {
		if (cpu.proc_controls & kProcMonitorTrapFlag)
			cpu.step = Step::Trap;
		else if (cpu.shadow && shadow_matters(cpu))
			cpu.step = Step::Shadow;
		if (cpu.activity != kActivityActive) {
			if (!stay_inactive(cpu))
				return;
		} else if (exit_at_boundary(cpu)) {
			return;
		}
	}
	prepare_to_run(cpu);
}

inline void read_controls(Cpu& cpu)
{
	cpu.pin_controls = cpu.read(Field::PinControls);
	cpu.proc_controls = cpu.read(Field::ProcessorControls);
	cpu.proc2_controls = cpu.proc_controls & kProcSecondaryControls ? cpu.read(Field::SecondaryControls) : 0;
	cpu.exit_controls = cpu.read(Field::ExitControls);
	cpu.entry_controls = cpu.read(Field::EntryControls);
	cpu.exception_bitmap = cpu.read(Field::ExceptionBitmap);
}

// The static part of the control area.
inline void load_controls(Cpu& cpu)
{
	Vmcb& guest = cpu.guest_vmcb;
	constexpr u16 kInterceptCr0 = bit(0), kInterceptCr4 = bit(4), kInterceptCr8 = bit(8);
	const u64 proc = cpu.proc_controls;

	guest.intercept_cr_write = kInterceptCr0 | kInterceptCr4;
	guest.intercept_cr_read = kInterceptCr4;
	if (cpu.read(Field::Cr0Mask))
		guest.intercept_cr_read |= kInterceptCr0;
	if (proc & (kProcCr8LoadExiting | kProcTprShadow))
		guest.intercept_cr_write |= kInterceptCr8;
	if (proc & (kProcCr8StoreExiting | kProcTprShadow))
		guest.intercept_cr_read |= kInterceptCr8;
	constexpr u16 kInterceptDr4 = bit(4), kInterceptDr6 = bit(6);
	guest.intercept_dr_read = guest.intercept_dr_write = proc & kProcMovDrExiting ? 0xffff
										      : kInterceptDr4 | kInterceptDr6;
	guest.tsc_offset = proc & kProcTscOffsetting ? cpu.read(Field::TscOffset) : 0;
	guest.interrupt_control = read_cr8() & kVirtualTprMask;
	fill_io_map(cpu);
	// Without EPT physical memory is that of root software.
	guest.nested_page_table = cpu.ept() ? Cpu::physical(cpu.nested_root) : g_root_paging.pointer();
	if (cpu.ept() && cpu.ept_pointer != cpu.read(Field::EptPointer)) {
		cpu.ept_pointer = cpu.read(Field::EptPointer);
		flush_nested_pages(cpu);
	}
}

// The part of VM-entry that cannot VMfail any more.
inline void enter_guest(Cpu& cpu)
{
	Vmcb& guest = cpu.guest_vmcb;
	Vmcb& host = cpu.root_vmcb;
	u64 qualification;

	++cpu.statistics.entries;
	host.event = 0;
	cpu.root_dr7 = host.dr7;
	disarm_root_breakpoints(cpu);
	vmsave(Cpu::physical(&host));
	const bool valid = EntryChecks(cpu).guest_state(qualification);
	cpu.in_guest = true;
	cpu.state.run_vmcb = Cpu::physical(&guest);
	if (!valid) {
		// load_host_state() takes from the guest what VMX does not switch.
		guest.cr0 = host.cr0;
		guest.cr2 = host.cr2;
		cpu.guest_dr6 = host.dr6;
		guest.rax = host.rax;
		guest.efer = host.efer;
		fail_entry(cpu, kReasonInvalidGuestState, qualification);
		return;
	}
	load_controls(cpu);
	load_guest_state(cpu);
	vmload(Cpu::physical(&guest));
	if (cpu.entry_controls & kEntryLoadPat)
		wrmsr(kMsrPat, cpu.read(Field::GuestPat));
	const u64 failed = load_msr_area(cpu, cpu.read(Field::EntryMsrLoadAddress), cpu.read(Field::EntryMsrLoadCount));
	if (failed) {
		fail_entry(cpu, kReasonMsrLoading, failed);
		return;
	}
	cpu.vmcs().launched = 1;
	start_preemption_timer(cpu);
	begin_guest(cpu);
}

}  // namespace

#endif
