// SPDX-License-Identifier: GPL-2.0
// Exits of the guest: handled here where VMX would not exit, or turned into VM-exits.  SDM Vol. 3C, chapter 26.
#ifndef VMX_ON_SVM_GUEST_EXITS_H
#define VMX_ON_SVM_GUEST_EXITS_H

#include "guest_control_registers.h"
#include "guest_exceptions.h"
#include "guest_interrupts.h"
#include "guest_io_and_msrs.h"
#include "guest_memory_exits.h"

namespace {

class GuestExit : public GuestEvents {
 public:
	using GuestEvents::GuestEvents;

	void handle()
	{
		const u32 code = guest_.exit_code;

		note_delivery();
		if (finish_step(code))
			return;
		note_progress(code);
		dispatch(code);
		if (cpu_.in_guest)
			resume();
	}

 private:
	// The event whose delivery the exit interrupted.  SDM Vol. 3C, section 28.2.4.
	void note_delivery()
	{
		const u32 info = guest_.exit_interrupt_info;
		const unsigned vector = info & kEventVectorMask;

		guest_.event = 0;
		if (!(info & kEventValid)) {
			cpu_.delivery = {};
			return;
		}
		if (cpu_.delivery.info & kInfoValid)
			return;
		cpu_.delivery = {0, guest_.exit_interrupt_error, 0, guest_.rip, false};
		u32 type = kTypeHardwareException;
		if ((info & kEventTypeMask) == kEventSoftware) {
			Instruction instruction;
			type = kTypeSoftwareInterrupt;
			if (decode(cpu_, instruction)) {
				cpu_.delivery.length = instruction.length;
				if (!instruction.is(0xcd))
					type = kTypeSoftwareException;
			}
		} else if (vector == kNmi) {
			type = kTypeNmi;
		} else if (vector > 31) {
			// QEMU records interrupts as exceptions.
			type = kTypeExternalInterrupt;
		}
		cpu_.delivery.info = interruption_info(vector, type, info & kEventErrorCode);
	}

	// Ends single-stepping.  True if the exit is dealt with.
	bool finish_step(u32 code)
	{
		const Step step = cpu_.step;
		if (step == Step::None)
			return false;
		const bool completed = code == kExitException + u32{kDebug} && (guest_.dr6 & kDr6SingleStep);
		if (!completed) {
			restore_trap_flag();
			guest_.dr6 |= cpu_.step_dr6 & kDr6SingleStep;
			return false;
		}
		// After MOV SS the next instruction is the one that ends it.
		const bool blocks_again = shadow_kind(cpu_) == kBlockingByMovSs;
		const u64 pending = cpu_.pending_debug | (cpu_.step_guest_trap ? kDr6SingleStep : 0);
		cpu_.step = Step::None;
		cpu_.shadow = 0;
		cpu_.iret_unblocked = false;
		guest_.dr6 = (guest_.dr6 & ~kDr6SingleStep) | (cpu_.step_dr6 & kDr6SingleStep);
		if (cpu_.step_pushes_flags && !cpu_.step_guest_trap)
			clear_pushed_trap_flag();
		if (!cpu_.step_loads_flags)
			restore_trap_flag();
		cpu_.pending_debug = 0;
		if (pending && !blocks_again) {
			raise_debug(pending);
			if (cpu_.in_guest)
				resume();
			return true;
		}
		if (blocks_again) {
			cpu_.pending_debug = pending;
			note_progress(code);
			resume();
			return true;
		}
		if ((cpu_.proc_controls & kProcNmiWindowExiting) && !cpu_.nmi_blocked) {
			exit_to_host(cpu_, {.reason = kReasonNmiWindow});
			return true;
		}
		prepare_to_run(cpu_);
		return true;
	}

	void restore_trap_flag()
	{
		guest_.rflags &= ~kFlagTrap;
		if (cpu_.step_guest_trap)
			guest_.rflags |= kFlagTrap;
	}

	// In the image that PUSHF has just stored.
	void clear_pushed_trap_flag()
	{
		u64 address = guest_.rsp;
		u8 byte;
		if (!cpu_.code_64()) {
			if (!(guest_.ss.attributes & kAttributeDefaultBig))
				address &= 0xffff;
			address = low_half(guest_.ss.base + address);
		}
		const LinearTranslation page = translate(cpu_, address + 1);
		if (!page.mapped)
			return;
		u8* const flags = static_cast<u8*>(cpu_.memory(page.host_physical));
		byte = *flags & ~(kFlagTrap >> 8);
		*flags = byte;
	}

	// Interrupt shadow and IRET, as far as the exit tells.
	void note_progress(u32 code)
	{
		const bool fault = (code >= kExitException && code < kExitException + 32) ||
				   code == kExitNestedPageFault;

		if (guest_.rip != cpu_.shadow_rip) {
			cpu_.shadow = 0;
			cpu_.pending_debug = 0;
		}
		if (const u8 shadow = shadow_kind(cpu_)) {
			cpu_.shadow = shadow;
			cpu_.shadow_rip = guest_.rip;
		}
		if (!cpu_.iret_unblocked)
			return;
		if (guest_.rip != cpu_.iret_rip) {
			cpu_.iret_unblocked = false;
		} else if (!fault) {
			// It came before the IRET.
			cpu_.iret_unblocked = false;
			cpu_.nmi_blocked = true;
			cpu_.step = Step::None;
		}
	}

	// The guest goes on: redeliver what the exit interrupted, keep the shadow.
	void resume()
	{
		const u32 type = info_type(cpu_.delivery.info);
		const bool interrupted = cpu_.delivery.info & kInfoValid;

		if (interrupted && !(guest_.event & kEventValid)) {
			// A software event of the guest's own execution comes again with its instruction.
			if (cpu_.delivery.injected || !is_software(type))
				schedule_delivery(cpu_, cpu_.delivery);
			else
				cpu_.delivery = {};
		}
		if (guest_.event & kEventValid) {
			cpu_.step = Step::None;
			cpu_.shadow = 0;
		} else if (cpu_.shadow && cpu_.step == Step::None && shadow_matters(cpu_)) {
			cpu_.step = Step::Shadow;
		}
		if (cpu_.halted && !stay_halted(cpu_))
			return;
		prepare_to_run(cpu_);
	}

	void on_hlt()
	{
		if (cpu_.proc_controls & kProcHltExiting) {
			exit_instruction(kReasonHlt, 1);
			return;
		}
		Instruction instruction;
		skip(decode(cpu_, instruction) ? instruction.length : 1);
		cpu_.halted = cpu_.in_guest && !(guest_.event & kEventValid);
	}

	// QEMU with one CPU would sleep for good.  MWAIT may end at any time.
	void on_mwait()
	{
		if (cpu_.proc_controls & kProcMwaitExiting) {
			exit_instruction(kReasonMwait, 3);
			return;
		}
		Instruction instruction;
		skip(decode(cpu_, instruction) ? instruction.length : 3);
	}

	void dispatch(u32 code)
	{
		switch (code) {
		case kExitReadCr ... kExitReadCr + 15:
			GuestControlRegisters(cpu_).on_cr_read(code - kExitReadCr);
			break;
		case kExitWriteCr ... kExitWriteCr + 15:
			GuestControlRegisters(cpu_).on_cr_write(code - kExitWriteCr);
			break;
		case kExitReadDr ... kExitReadDr + 15:
			GuestControlRegisters(cpu_).on_dr(code - kExitReadDr, false);
			break;
		case kExitWriteDr ... kExitWriteDr + 15:
			GuestControlRegisters(cpu_).on_dr(code - kExitWriteDr, true);
			break;
		case kExitException ... kExitException + 31:
			GuestExceptions(cpu_).on_exception(code - kExitException);
			break;
		case kExitInterrupt:
			GuestInterrupts(cpu_).on_interrupt();
			break;
		case kExitNmi:
			GuestInterrupts(cpu_).on_nmi();
			break;
		case kExitVirtualInterrupt:
			exit({.reason = kReasonInterruptWindow});
			break;
		case kExitShutdown:
			exit({.reason = kReasonTripleFault});
			break;
		case kExitSoftwareInterrupt:
			GuestExceptions(cpu_).on_software_interrupt();
			break;
		case kExitIcebp:
			GuestExceptions(cpu_).on_icebp();
			break;
		case kExitIret:
			GuestInterrupts(cpu_).on_iret();
			break;
		case kExitCpuid:
			exit_instruction(kReasonCpuid, 2);
			break;
		case kExitHlt:
			on_hlt();
			break;
		case kExitRdtsc:
			GuestIoAndMsrs(cpu_).on_rdtsc();
			break;
		case kExitRdtscp:
			GuestIoAndMsrs(cpu_).on_rdtscp();
			break;
		case kExitRdpmc:
			exit_instruction(kReasonRdpmc, 2);
			break;
		case kExitPause:
			exit_instruction(kReasonPause, 2);
			break;
		case kExitMwait:
			on_mwait();
			break;
		case kExitMonitor:
			exit_instruction(kReasonMonitor, 3);
			break;
		case kExitXsetbv:
			exit_instruction(kReasonXsetbv, 3);
			break;
		case kExitInvd:
		case kExitWbinvd:
			GuestMemoryExits(cpu_).on_cache_invalidation();
			break;
		case kExitInvlpg:
			GuestMemoryExits(cpu_).on_invlpg();
			break;
		case kExitIo:
			GuestIoAndMsrs(cpu_).on_io();
			break;
		case kExitMsr:
			GuestIoAndMsrs(cpu_).on_msr();
			break;
		case kExitNestedPageFault:
			GuestMemoryExits(cpu_).on_nested_page_fault();
			break;
		case kExitVmrun:
		case kExitVmmcall:
		case kExitVmload:
		case kExitVmsave:
		case kExitStgi:
		case kExitClgi:
		case kExitSkinit:
		case kExitInvlpga:
			undefined_opcode();
			break;
		case kExitInvalid:
			fatal("guest: VMRUN refuses the state", guest_.cr0, guest_.rip);
		default:
			fatal("guest: unexpected exit", code, guest_.rip);
		}
	}
};

}  // namespace

#endif
