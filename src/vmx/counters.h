// SPDX-License-Identifier: GPL-2.0
// How often the VMCS was touched, and how often memory served instead, by the exit that asked.
// Provisional: one table for the module, which a vCPU adds to when it returns to userspace.
#pragma once

#include <vregcache/register.h>

#include "../glue/kernel.h"
#include "exit_reason.h"
#include "trace.h"
#include "types.h"

namespace {

struct AccessCounters {
	u64 hits = 0;
	u64 vmreads = 0;
	u64 vmwrites = 0;
};

struct ExitCounters {
	u64 exits = 0;
	AccessCounters accesses;
};

// What comes before a vCPU's first VM-entry belongs to no exit.
constexpr u32 kSetupRow = kExitReasonCount;
constexpr u32 kCounterRows = kExitReasonCount + 1;

ExitCounters g_counters[kCounterRows];

// Counts a vCPU's accesses.  It is the observer of the vCPU's cache.
class Counters {
 public:
	bool watches_hits() const { return true; }
	void hit(vregcache::Reg) { now_.hits++; }
	void miss(vregcache::Reg reg, u64 value) { trace_miss(vcpu_, reg, value); }
	void write_back(vregcache::Reg reg, u64 value) { trace_write_back(vcpu_, reg, value); }
	void invalidate(vregcache::RegSet set) { trace_invalidate(vcpu_, set); }
	void no_register(u32 number) { vrc_host_warn_no_register(number); }
	void set_vcpu(u32 id) { vcpu_ = id; }

	AccessCounters& accesses() { return now_; }

	// A VM-exit: the accesses up to here belong to the one before.
	void close_exit() { settle(); }

	// The accesses since close_exit() and from here on belong to this one.
	void begin_exit(u32 basic_reason)
	{
		row_ = basic_reason < kExitReasonCount ? basic_reason : kExitReasonCount - 1;
		rows_[row_].exits++;
		dirty_ = true;
	}

	// Adds everything to the module's table.
	void flush()
	{
		settle();
		if (!dirty_)
			return;
		dirty_ = false;
		vrc_host_global_lock();
		for (u32 row = 0; row < kCounterRows; row++) {
			ExitCounters& from = rows_[row];
			ExitCounters& to = g_counters[row];
			to.exits += from.exits;
			to.accesses.hits += from.accesses.hits;
			to.accesses.vmreads += from.accesses.vmreads;
			to.accesses.vmwrites += from.accesses.vmwrites;
			from = {};
		}
		vrc_host_global_unlock();
	}

 private:
	void settle()
	{
		if (!now_.hits && !now_.vmreads && !now_.vmwrites)
			return;
		dirty_ = true;
		AccessCounters& row = rows_[row_].accesses;
		row.hits += now_.hits;
		row.vmreads += now_.vmreads;
		row.vmwrites += now_.vmwrites;
		now_ = {};
	}

	AccessCounters now_;
	u32 vcpu_ = 0;        // for trace events
	bool dirty_ = false;  // rows_ has something that the module's table has not
	u32 row_ = kSetupRow;
	ExitCounters rows_[kCounterRows];
};

}  // namespace

extern "C" vrc_bool vrc_counter_row(unsigned int index, struct vrc_counter_row* row)
{
	if (index >= kCounterRows)
		return false;
	vrc_host_global_lock();
	const ExitCounters& counters = g_counters[index];
	row->reason = index == kSetupRow ? "setup" : exit_reason_name(index);
	row->exits = counters.exits;
	row->hits = counters.accesses.hits;
	row->vmreads = counters.accesses.vmreads;
	row->vmwrites = counters.accesses.vmwrites;
	row->eager = counters.exits * vregcache::RegSet::all().size();
	vrc_host_global_unlock();
	return true;
}

extern "C" void vrc_counters_reset(void)
{
	vrc_host_global_lock();
	for (ExitCounters& counters : g_counters)
		counters = {};
	vrc_host_global_unlock();
}
