// SPDX-License-Identifier: GPL-2.0
// Interrupts, NMIs, and the IRET that ends blocking by NMI.
#ifndef VMX_ON_SVM_GUEST_INTERRUPTS_H
#define VMX_ON_SVM_GUEST_INTERRUPTS_H

#include "guest_events.h"

namespace {

class GuestInterrupts : public GuestEvents {
 public:
	using GuestEvents::GuestEvents;

	void on_interrupt()
	{
		// The timer and the window come before the interrupt.  SDM Vol. 3C, section 26.2.
		const bool window = (cpu_.proc_controls & kProcInterruptWindowExiting) &&
				    (guest_.rflags & kFlagInterrupt) && !cpu_.shadow;
		if (window && !preemption_timer_expired(cpu_)) {
			exit({.reason = kReasonInterruptWindow});
			return;
		}
		exit_for_interrupt(cpu_);
	}

	void on_nmi()
	{
		if (exit_for_init(cpu_))
			return;
		if (cpu_.stop_after_delivery) {
			cancel_stop(cpu_);
			if (cpu_.proc_controls & kProcMonitorTrapFlag)
				exit({.reason = kReasonMonitorTrap});
			else
				exit_at_boundary(cpu_);
			return;
		}
		if (take_preemption_nmi(cpu_))
			return;
		if (cpu_.pin_controls & kPinNmiExiting) {
			exit_for_nmi(cpu_);
			return;
		}
		// It is blocked from here to the guest's IRET.
		disarm_preemption_timer(cpu_);
		take_nmi(cpu_);
		__atomic_store_n(&cpu_.nmi_sent, false, __ATOMIC_SEQ_CST);
		cpu_.nmi_blocked = true;
		schedule_delivery(cpu_, {interruption_info(kNmi, kTypeNmi), 0, 0, guest_.rip, false});
	}

	// With NMIs blocked: the IRET ends that.
	void on_iret()
	{
		cpu_.nmi_blocked = false;
		cpu_.iret_unblocked = true;
		cpu_.iret_rip = guest_.rip;
		if ((cpu_.proc_controls & kProcNmiWindowExiting) && !(cpu_.proc_controls & kProcMonitorTrapFlag))
			cpu_.step = Step::Iret;
	}
};

}  // namespace

#endif
