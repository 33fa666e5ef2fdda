// SPDX-License-Identifier: GPL-2.0
// The line about a VM-exit: all that the SDM defines for it, and nothing else.
#ifndef VMX_CLIENT_OBSERVED_EXIT_H
#define VMX_CLIENT_OBSERVED_EXIT_H

#include "test.h"

namespace {

enum ExitReason : u32 {
	kException = 0,
	kExternalInterrupt = 1,
	kTripleFault = 2,
	kInterruptWindow = 7,
	kNmiWindow = 8,
	kCpuid = 10,
	kHlt = 12,
	kInvlpg = 14,
	kVmcall = 18,
	kVmclear = 19,
	kVmptrld = 21,
	kVmptrst = 22,
	kVmread = 23,
	kVmwrite = 25,
	kVmxon = 27,
	kCrAccess = 28,
	kMovDr = 29,
	kIo = 30,
	kRdmsr = 31,
	kWrmsr = 32,
	kMonitorTrap = 37,
	kPause = 40,
	kTprBelowThreshold = 43,
	kEptViolation = 48,
	kEptMisconfiguration = 49,
	kInvept = 50,
	kPreemptionTimerExpired = 52,
	kInvvpid = 53,
};

constexpr u32 kEntryFailed = 0x1000;  // plus the outcome; not an exit reason

constexpr bool software_event(u32 info)
{
	const u32 type = info >> 8 & 7;
	return (info & kInfoValid) && type >= 4 && type <= 6;
}

// SDM Vol. 3C, section 28.2.5.
constexpr bool by_instruction(u32 reason)
{
	return (reason >= kCpuid && reason <= kWrmsr) || reason == 36 || reason == 39 || reason == kPause ||
	       (reason >= kInvept && reason <= 55 && reason != kPreemptionTimerExpired);
}

// The bits of the instruction information that are defined.  SDM Vol. 3C, tables 28-8 to 28-14.
constexpr u64 instruction_info_mask(u32 reason, u64 info, u64 qualification)
{
	constexpr u64 kAddressSize = 7 << 7, kSegment = 7 << 15, kRegister = bit(10), kSecondOperand = 15ul << 28;
	const bool two_operands = reason == kVmread || reason == kVmwrite || reason == kInvept || reason == kInvvpid;
	const bool one_operand = reason == kVmclear || reason == kVmptrld || reason == kVmptrst || reason == kVmxon;
	const bool may_be_register = reason == kVmread || reason == kVmwrite;

	if (reason == kIo) {
		const bool string = qualification & bit(4), input = qualification & bit(3);
		return string ? kAddressSize | (input ? 0 : kSegment) : 0;
	}
	if (!one_operand && !two_operands)
		return 0;
	u64 mask = two_operands ? kSecondOperand : 0;
	if (may_be_register && (info & kRegister))
		return mask | kRegister | 15 << 3;
	mask |= kAddressSize | kSegment | bit(22) | bit(27) | (may_be_register ? kRegister : 0);
	if (!(info & bit(22)))
		mask |= 3 | 15 << 18;
	if (!(info & bit(27)))
		mask |= 15 << 23;
	return mask;
}

inline void observe_field(const char* name, u64 value)
{
	const Shown shown = show(value);
	vc_observe(" %s=%s0x%lx", name, shown.base, shown.offset);
}

// Instruction information and what belongs to exits of one kind only.
inline void observe_details(u32 reason)
{
	const u64 qualification = read(kQualification);
	const u64 info = read(kInstructionInfo);
	const u64 mask = instruction_info_mask(reason, info, qualification);
	constexpr u64 kLinearValid = bit(7), kFinalAccess = bit(8), kNmiUnblocking = bit(12);

	if (reason == kEptViolation) {
		u64 defined = 0x3f | kLinearValid | kNmiUnblocking;
		if (qualification & kLinearValid)
			defined |= kFinalAccess;
		observe_field("qualification", qualification & defined);
		observe_field("physical", read(kGuestPhysicalAddress));
		if (qualification & kLinearValid)
			observe_field("linear", read(kGuestLinearAddress));
		return;
	}
	if (reason == kEptMisconfiguration) {
		observe_field("physical", read(kGuestPhysicalAddress));
		return;
	}
	const bool register_form = (reason == kVmread || reason == kVmwrite) && (info & bit(10));
	if (!register_form)
		observe_field("qualification", qualification);
	if (mask)
		observe_field("instruction", info & mask);
	const bool lmsw_memory = reason == kCrAccess && (qualification >> 4 & 3) == 3 && (qualification & bit(6));
	const bool string = reason == kIo && (qualification & bit(4));
	if (lmsw_memory || string)
		observe_field("linear", read(kGuestLinearAddress));
}

inline void observe_exit(u32 reason)
{
	Test* const test = Test::current();
	const u32 info = read(kExitInfo), vectoring = read(kVectoringInfo);

	if (!test)
		return;
	vc_observe("%s: exit %u: reason=0x%x", test->name(), test->next_exit(), reason);
	if (reason & kEntryFailed) {
		vc_observe(" error=0x%lx\n", reason == kEntryFailed + VC_FAIL_VALID ? read(kInstructionError) : 0);
		return;
	}
	if (reason & kFailedEntry) {
		observe_field("qualification", read(kQualification));
		observe_field("injects", read(kEntryInfo) >> 31);
		vc_observe("\n");
		return;
	}
	observe_details(reason);
	if (by_instruction(reason) || (reason == kException && software_event(info)) || software_event(vectoring))
		observe_field("length", read(kExitLength));
	observe_field("info", info);
	if ((info & kInfoValid) && (info & bit(11)))
		observe_field("error", read(kExitError));
	observe_field("vectoring", vectoring);
	if ((vectoring & kInfoValid) && (vectoring & bit(11)))
		observe_field("vectoring_error", read(kVectoringError));
	observe_field("rip", read(kGuestRip));
	observe_field("rsp", read(kGuestRsp));
	observe_field("rflags", read(kGuestRflags));
	observe_field("interruptibility", read(kInterruptibility));
	observe_field("activity", read(kActivity));
	observe_field("pending_debug", read(kPendingDebug));
	observe_field("injects", read(kEntryInfo) >> 31);
	vc_observe("\n");
}

}  // namespace

#endif
