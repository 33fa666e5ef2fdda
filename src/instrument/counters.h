// SPDX-License-Identifier: GPL-2.0
// Counts accesses to the VMCS, and reads served from memory instead, by the exit that made them.
// Each vCPU counts for itself, and nothing is added up before the counters are read.
#pragma once

#include "linux/host.h"
#include "vmx/exit_reason.h"
#include "vmx/raw_vmx.h"

namespace {

struct ExitCounters {
	u64 exits = 0;
	AccessCounters accesses;

	void add(const ExitCounters& other);
	void subtract(const ExitCounters& other);
};

// A row for each exit reason of the SDM, and one for all others.
constexpr u32 kOtherRow = kExitReasonCount;
// Accesses before a vCPU's first VM-entry belong to no exit.
constexpr u32 kSetupRow = kExitReasonCount + 1;

constexpr u32 kCounterRows = kExitReasonCount + 2;

// The cost of a vCPU's exits.
class Counters {
 public:
	void hit() { now_.accesses.hits++; }
	[[gnu::always_inline]] void vmread(u32 count = 1) { now_.accesses.vmreads += count; }
	[[gnu::always_inline]] void vmwrite() { now_.accesses.vmwrites++; }
	[[gnu::always_inline]] AccessCounters& accesses() { return now_.accesses; }

	// A VM-exit.  Later accesses belong to it.  Consecutive exits of one kind are common, and cost one addition each.
	[[gnu::always_inline]] void begin_exit(u32 basic_reason)
	{
		if (basic_reason != reason_) [[unlikely]]
			change_reason(basic_reason);
		now_.exits++;
	}

	// Adds the counters of row @row to @sum.  On any CPU at any time.
	void add_row(u32 row, ExitCounters& sum) const;

	Counters* next = nullptr;  // in g_vcpu_counters

 private:
	// Interrupts off, so that no reader waits long for an even number.
	void change_reason(u32 basic_reason);

	ExitCounters now_;  // since row_ last changed; rows_ has the rest
	u32 row_ = kSetupRow;
	u32 reason_ = ~0u;  // the reason that row_ is for; several without a name share one
	u32 changes_ = 0;   // of row_, counted twice each; odd while one is in progress
	ExitCounters rows_[kCounterRows];
};

}  // namespace
