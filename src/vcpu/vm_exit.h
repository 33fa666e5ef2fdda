// SPDX-License-Identifier: GPL-2.0
// One VM-entry, and how it ended.
#pragma once

#include "vmx/entry.h"
#include "vmx/exit_reason.h"

namespace {

class VmExit {
 public:
	// Exit by an exception or NMI.
	VmExit() = default;

	// @exit_reason: as the VMCS has it.
	[[gnu::always_inline]] static VmExit of(u32 exit_reason) { return VmExit(exit_reason); }
	// Not an ordinary one: VM-entry failed (@entry), or a field that is needed at once could not be read (@error).
	[[gnu::always_inline]] static VmExit extraordinary(EntryResult entry, Error error)
	{
		return VmExit(u64{static_cast<u8>(entry)} << kEntryShift | u64{static_cast<u8>(error)} << kErrorShift);
	}
	// VMfail with this VM-instruction error.
	static VmExit vm_fail(u32 instruction_error) { return VmExit(kVmFail | instruction_error); }

	// Neither by an exception or NMI, nor extraordinary.  Includes VM-entry failure, a VM-exit (SDM Vol. 3C, 27.8).
	bool is_ordinary() const { return is_ordinary(static_cast<u32>(word_)); }
	[[gnu::always_inline]] static bool is_ordinary(u32 exit_reason)
	{
		return exit_reason & (kEntryFailure | kBasicExitReasonMask);
	}

	// The guest did not run.
	bool entry_failed() const { return word_ >> kEntryFailureBit; }
	bool is_entry_failure() const { return word_ & kEntryFailure; }
	// Of a failed entry: the exit reason with bit 31, or the VM-instruction error.
	u32 failure() const { return static_cast<u32>(word_); }

	u32 basic_reason() const { return static_cast<u32>(word_) & kBasicExitReasonMask; }
	ExitReason reason() const { return static_cast<ExitReason>(basic_reason()); }

	// Of an extraordinary one.
	EntryResult entry() const { return static_cast<EntryResult>(static_cast<u8>(word_ >> kEntryShift)); }
	Error error() const { return static_cast<Error>(static_cast<u8>(word_ >> kErrorShift)); }

 private:
	static constexpr unsigned kEntryFailureBit = 31, kEntryShift = 40, kErrorShift = 48;
	static constexpr u64 kVmFail = u64{1} << 32;
	static_assert(kEntryFailure == 1u << kEntryFailureBit);
	static_assert(ExitReason::kExceptionOrNmi == ExitReason{0});

	[[gnu::always_inline]] explicit VmExit(u64 word) : word_(word) {}

	u64 word_ = 0;  // an ordinary exit is its reason alone
};

}  // namespace
