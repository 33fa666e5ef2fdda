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

		cpu_.completed = false;
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
		end_step(cpu_, completed);
		if (!completed)
			return false;
		// After MOV SS the next instruction is the one that ends it.
		const bool blocks_again = shadow_kind(cpu_) == kBlockingByMovSs;
		const StepState& state = cpu_.step_state;
		const bool traps = state.is_syscall || state.is_sysret ? guest_.rflags & kFlagTrap : state.guest_trap;
		const u64 pending = cpu_.pending_debug | (guest_.dr6 & kDr6Breakpoints) | (traps ? kDr6SingleStep : 0);
		cpu_.step = Step::None;
		cpu_.shadow = 0;
		cpu_.iret_unblocked = false;
		if (step == Step::Trap) {
			exit_for_trap(code, blocks_again, pending);
			return true;
		}
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

	// The monitor trap flag, behind an instruction that the guest has executed.
	void exit_for_trap(u32 code, bool blocked_by_mov_ss, u64 pending)
	{
		if (blocked_by_mov_ss)
			cpu_.pending_debug = pending;
		else
			cpu_.saved_debug = pending;
		// Between two iterations.  SDM Vol. 3C, section 28.3.3.
		if (cpu_.step_state.repeats && guest_.rip == cpu_.step_state.rip)
			guest_.rflags |= kFlagResume;
		note_progress(code);
		exit({.reason = kReasonMonitorTrap});
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
			if (wants_stop_after_delivery(cpu_))
				stop_after_delivery(cpu_);
		} else if (cpu_.proc_controls & kProcMonitorTrapFlag) {
			if (cpu_.completed) {
				exit({.reason = kReasonMonitorTrap});
				return;
			}
			cpu_.step = Step::Trap;
		} else if (cpu_.shadow && cpu_.step == Step::None && shadow_matters(cpu_)) {
			cpu_.step = Step::Shadow;
		}
		if (!(guest_.event & kEventValid)) {
			if (cpu_.activity != kActivityActive ? !stay_inactive(cpu_) : exit_for_timer())
				return;
		}
		prepare_to_run(cpu_);
	}

	bool exit_for_timer()
	{
		if (!preemption_timer_expired(cpu_))
			return false;
		exit({.reason = kReasonPreemptionTimer});
		return true;
	}

	void on_hlt()
	{
		if (cpu_.proc_controls & kProcHltExiting) {
			exit_instruction(kReasonHlt, 1);
			return;
		}
		Instruction instruction;
		skip(decode(cpu_, instruction) ? instruction.length : 1);
		if (cpu_.in_guest && !(guest_.event & kEventValid))
			cpu_.activity = kActivityHlt;
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

	// SDM Vol. 3C, section 26.1.3.
	void on_pause()
	{
		const u64 now = rdtsc();
		bool exits = cpu_.proc_controls & kProcPauseExiting;
		Instruction instruction;

		if (!exits && (cpu_.proc2_controls & kProc2PauseLoopExiting) && !cpu_.privilege_level()) {
			const bool new_loop = !cpu_.last_pause || now - cpu_.last_pause > cpu_.read(Field::PleGap);
			if (new_loop)
				cpu_.first_pause = now;
			cpu_.last_pause = now;
			exits = !new_loop && now - cpu_.first_pause > cpu_.read(Field::PleWindow);
		}
		if (exits)
			exit_instruction(kReasonPause, 2);
		else
			skip(decode(cpu_, instruction) ? instruction.length : 2);
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
			on_pause();
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
			if (!loads_invalid_cr3(cpu_))
				fatal("guest: VMRUN refuses the state", guest_.cr0, guest_.rip);
			general_protection();
			break;
		default:
			fatal("guest: unexpected exit", code, guest_.rip);
		}
	}
};

}  // namespace

#endif
