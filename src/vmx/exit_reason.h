// SPDX-License-Identifier: GPL-2.0
// Basic exit reasons (SDM Vol. 3D, Appendix C), with the names that the debugfs table prints.
#pragma once

#include "types.h"

namespace {

enum class ExitReason : u16 {
	kExceptionOrNmi = 0,
	kExternalInterrupt = 1,
	kTripleFault = 2,
	kInterruptWindow = 7,
	kNmiWindow = 8,
	kTaskSwitch = 9,
	kCpuid = 10,
	kHlt = 12,
	kInvd = 13,
	kInvlpg = 14,
	kRdpmc = 15,
	kRdtsc = 16,
	kVmcall = 18,
	kVmclear = 19,
	kVmxon = 27,
	kControlRegister = 28,
	kMovDr = 29,
	kIo = 30,
	kRdmsr = 31,
	kWrmsr = 32,
	kInvalidGuestState = 33,
	kMsrLoading = 34,
	kMwait = 36,
	kMonitor = 39,
	kPause = 40,
	kMachineCheckDuringEntry = 41,
	kEptViolation = 48,
	kEptMisconfiguration = 49,
	kInvept = 50,
	kRdtscp = 51,
	kInvvpid = 53,
	kWbinvd = 54,
	kXsetbv = 55,
};

constexpr u32 kExitReasonCount = 76;
constexpr u32 kBasicExitReasonMask = 0xffff;
constexpr u32 kEntryFailure = 1u << 31;

// One word each, so that the table can be cut into columns.
constexpr const char* exit_reason_name(u32 reason)
{
	switch (static_cast<ExitReason>(reason)) {
	// clang-format off
	case ExitReason::kExceptionOrNmi: return "exception_nmi";
	case ExitReason::kExternalInterrupt: return "external_interrupt";
	case ExitReason::kTripleFault: return "triple_fault";
	case ExitReason::kInterruptWindow: return "interrupt_window";
	case ExitReason::kNmiWindow: return "nmi_window";
	case ExitReason::kTaskSwitch: return "task_switch";
	case ExitReason::kCpuid: return "cpuid";
	case ExitReason::kHlt: return "hlt";
	case ExitReason::kInvd: return "invd";
	case ExitReason::kInvlpg: return "invlpg";
	case ExitReason::kRdpmc: return "rdpmc";
	case ExitReason::kRdtsc: return "rdtsc";
	case ExitReason::kVmcall: return "vmcall";
	case ExitReason::kControlRegister: return "cr_access";
	case ExitReason::kMovDr: return "mov_dr";
	case ExitReason::kIo: return "io";
	case ExitReason::kRdmsr: return "rdmsr";
	case ExitReason::kWrmsr: return "wrmsr";
	case ExitReason::kInvalidGuestState: return "invalid_guest_state";
	case ExitReason::kMsrLoading: return "msr_loading";
	case ExitReason::kMwait: return "mwait";
	case ExitReason::kMonitor: return "monitor";
	case ExitReason::kPause: return "pause";
	case ExitReason::kMachineCheckDuringEntry: return "entry_machine_check";
	case ExitReason::kEptViolation: return "ept_violation";
	case ExitReason::kEptMisconfiguration: return "ept_misconfiguration";
	case ExitReason::kRdtscp: return "rdtscp";
	case ExitReason::kWbinvd: return "wbinvd";
	case ExitReason::kXsetbv: return "xsetbv";
	default: return "other";
		// clang-format on
	}
}

}  // namespace
