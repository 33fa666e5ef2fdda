// SPDX-License-Identifier: GPL-2.0
// VM-exits, and exceptions that the host or the guest gets.  SDM Vol. 3C, section 26.2.
#ifndef VMX_ON_SVM_GUEST_EVENTS_H
#define VMX_ON_SVM_GUEST_EVENTS_H

#include "entry.h"

namespace {

class GuestEvents {
 public:
	explicit GuestEvents(Cpu& cpu) : cpu_(cpu), guest_(cpu.guest_vmcb) {}

	void exit(const Exit& exit) { exit_to_host(cpu_, exit); }

	void exit_instruction(ExitReason reason, unsigned fallback_length)
	{
		Instruction instruction;
		const unsigned length = decode(cpu_, instruction) ? instruction.length : fallback_length;
		guest_.rflags &= ~kFlagResume;
		exit({.reason = reason, .length = length});
	}

	// The monitor has carried out the instruction.  Gives the debug exceptions that are pending behind it: the trap of
	// RFLAGS.TF, and what blocking by MOV SS has held back.
	u64 complete(unsigned length)
	{
		u64 pending = cpu_.pending_debug;

		finish_instruction(cpu_, length);
		cpu_.completed = true;
		cpu_.shadow = 0;
		cpu_.pending_debug = 0;
		if (guest_.event & kEventValid)
			pending |= kDr6SingleStep;
		guest_.event = 0;
		return pending;
	}

	void skip(unsigned length)
	{
		const u64 pending = complete(length);
		if (cpu_.proc_controls & kProcMonitorTrapFlag)
			cpu_.saved_debug = pending;
		else if (pending)
			raise_debug(pending);
	}

	// An exit behind an instruction.
	void exit_after(unsigned length, ExitReason reason)
	{
		cpu_.saved_debug = complete(length);
		exit({.reason = reason});
	}

	void raise_debug(u64 reported)
	{
		cpu_.debug_reported = reported;
		raise(kDebug, 0);
	}

	bool wants_exception(unsigned vector, u32 error)
	{
		bool wanted = cpu_.exception_bitmap & bit(vector);
		if (vector == kPageFault) {
			const bool matches = (error & cpu_.read(Field::PageFaultErrorMask)) ==
					     cpu_.read(Field::PageFaultErrorMatch);
			wanted = matches ? wanted : !wanted;
		}
		return wanted;
	}

	static bool contributory(unsigned vector) { return kContributoryExceptions & bit(vector); }

	// SDM Vol. 3A, table 6-5.
	static bool makes_double_fault(unsigned first, unsigned second)
	{
		if (first == kPageFault)
			return second == kPageFault || contributory(second);
		return contributory(first) && contributory(second);
	}

	// An exception of the guest: to the host, or into the guest.
	void raise(unsigned vector, u32 error, u64 fault_address = 0)
	{
		const bool delivering = (cpu_.delivery.info & kInfoValid) &&
					info_type(cpu_.delivery.info) == kTypeHardwareException;
		const unsigned first = cpu_.delivery.info & 0xff;

		if (wants_exception(vector, error)) {
			exit_exception(vector, error, fault_address);
			return;
		}
		if (delivering && first == kDoubleFault && (contributory(vector) || vector == kPageFault)) {
			exit({.reason = kReasonTripleFault});
			return;
		}
		if (vector == kPageFault)
			guest_.cr2 = fault_address;
		if (vector == kDebug) {
			set_reported(cpu_, cpu_.debug_reported);
			cpu_.debug_reported = 0;
		}
		if (delivering && makes_double_fault(first, vector)) {
			cpu_.delivery = {};
			vector = kDoubleFault;
			error = 0;
			if (wants_exception(vector, error)) {
				exit_exception(vector, error, 0);
				return;
			}
		}
		schedule_exception(cpu_, vector, error);
	}

	void exit_exception(unsigned vector, u32 error, u64 fault_address)
	{
		const bool with_error = has_error_code(vector) && (guest_.cr0 & kCr0ProtectionEnable);
		Exit exit{.reason = kReasonException};

		exit.interruption = interruption_info(vector, kTypeHardwareException, with_error);
		if (cpu_.iret_unblocked && vector != kDoubleFault)
			exit.interruption |= kInfoNmiUnblocking;
		if (with_error)
			exit.error = error;
		if (vector == kPageFault)
			exit.qualification = fault_address;
		if (vector == kDebug) {
			// DR6 is left as it was.
			exit.qualification = cpu_.debug_reported;
			cpu_.debug_reported = 0;
		} else {
			guest_.rflags |= kFlagResume;
		}
		exit_to_host(cpu_, exit);
	}

	void undefined_opcode() { raise(kInvalidOpcode, 0); }
	void general_protection() { raise(kGeneralProtection, 0); }

	// access_operand() has put the exception into the control block; give it its VMX meaning.
	void raise_injected()
	{
		const unsigned vector = guest_.event & kEventVectorMask;
		const u32 error = guest_.event_error;
		const u64 address = guest_.cr2;
		guest_.event = 0;
		raise(vector, error, address);
	}

 protected:
	Cpu& cpu_;
	Vmcb& guest_;
};

}  // namespace

#endif
