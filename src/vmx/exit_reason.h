// SPDX-License-Identifier: GPL-2.0
// Basic exit reasons (SDM Vol. 3D, Appendix C).
#pragma once

#include "vmx/types.h"

namespace {

enum class ExitReason : u32 {
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
	kRdrand = 57,
	kEncls = 60,
	kRdseed = 61,
	kSeamcall = 76,
	kTdcall = 77,
};

constexpr u32 kExitReasonCount = 78;
constexpr u32 kBasicExitReasonMask = 0xffff;
constexpr u32 kEntryFailure = 1u << 31;

// The name of linux/names.h, or "other".  One word, so that the table can be cut into columns.
inline const char* exit_reason_name(u32 reason);

}  // namespace
