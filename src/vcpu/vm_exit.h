// SPDX-License-Identifier: GPL-2.0
// One VM-entry, and how it ended.
#pragma once

#include "vmx/entry.h"
#include "vmx/exit_reason.h"

namespace {

// In one register.
struct VmExit {
	u32 reason_word = 0;                       // the exit reason; or after VMfail the VM-instruction error
	EntryResult entry = EntryResult::kExited;  // or how VMLAUNCH or VMRESUME failed
	Error error = Error::kNone;                // not all that must be known at once could be read

	// Neither an exception or NMI, nor a failure; but a VM-entry failure, which is an exit, is one.
	bool is_ordinary() const
	{
		return entry == EntryResult::kExited && error == Error::kNone && (reason_word & kOrdinary);
	}
	// The guest did not run.
	bool entry_failed() const { return entry != EntryResult::kExited || is_entry_failure(); }
	// VM-entry loaded guest state and then failed, which is a VM-exit (SDM Vol. 3C, 27.8).
	bool is_entry_failure() const { return entry == EntryResult::kExited && (reason_word & kEntryFailure); }
	ExitReason reason() const { return static_cast<ExitReason>(basic_reason()); }
	u32 basic_reason() const { return reason_word & kBasicExitReasonMask; }

	static constexpr u32 kOrdinary = kEntryFailure | kBasicExitReasonMask;
};
static_assert(sizeof(VmExit) == 8);
static_assert(ExitReason::kExceptionOrNmi == ExitReason{0});

}  // namespace
