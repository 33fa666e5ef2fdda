// SPDX-License-Identifier: GPL-2.0
// How often the VMCS was touched, and how often memory served instead, by the exit that asked.
// Each vCPU counts for itself, and nothing is added up before somebody looks.
#pragma once

#include <vregcache/register.h>

#include "instrument/trace.h"
#include "linux/host.h"
#include "vmx/exit_reason.h"
#include "vmx/types.h"

namespace {

#ifdef CONFIG_LOCKDEP
constexpr bool kLockdep = true;
#else
constexpr bool kLockdep = false;
#endif

struct AccessCounters {
	u64 hits = 0;
	u64 vmreads = 0;
	u64 vmwrites = 0;
};

struct ExitCounters {
	u64 exits = 0;
	AccessCounters accesses;

	void add(const ExitCounters& other)
	{
		exits += other.exits;
		accesses.hits += other.accesses.hits;
		accesses.vmreads += other.accesses.vmreads;
		accesses.vmwrites += other.accesses.vmwrites;
	}
	void subtract(const ExitCounters& other)
	{
		exits -= other.exits;
		accesses.hits -= other.accesses.hits;
		accesses.vmreads -= other.accesses.vmreads;
		accesses.vmwrites -= other.accesses.vmwrites;
	}
};

// What comes before a vCPU's first VM-entry belongs to no exit.
constexpr u32 kSetupRow = kExitReasonCount;

constexpr u32 kCounterRows = kExitReasonCount + 1;

// Counts a vCPU's accesses.  It is the observer of the vCPU's cache.
class Counters {
 public:
	// With lockdep each access is checked for its context.
	bool watches_reads() const { return kLockdep || is_set(vrc_watched_reads); }
	void hit(vregcache::Reg)
	{
		if (__atomic_load_n(&vrc_watched_reads, __ATOMIC_RELAXED) & VRC_WATCH_HITS)
			now_.accesses.hits++;
	}
	void miss(vregcache::Reg reg, u64 value) { trace_miss(vcpu_, reg, value); }
	void misses(vregcache::RegSet set, const u64* value) { trace_misses(vcpu_, set, value); }
	void write_back(vregcache::Reg reg, u64 value) { trace_write_back(vcpu_, reg, value); }
	void invalidate(vregcache::RegSet set) { trace_invalidate(vcpu_, set); }
	void no_register(u32 number) { vrc_host_warn_no_register(number); }
	void set_vcpu(u32 id) { vcpu_ = id; }

	AccessCounters& accesses() { return now_.accesses; }

	// A VM-exit, since which there were @vmreads VMREADs, of the reason and of what had to be known at once, and no other
	// access.  These and the accesses from here on belong to it, those before to the exit before.  Exits of one kind follow each
	// other often, and are one addition.
	[[gnu::always_inline]] void begin_exit(u32 basic_reason, u32 vmreads)
	{
		if (basic_reason != reason_) [[unlikely]]
			change_reason(basic_reason, vmreads);
		now_.exits++;
	}

	// Adds what was counted in row @row to @sum.  On any CPU at any time.
	void add_row(u32 row, ExitCounters& sum) const
	{
		for (;;) {
			u32 change = __atomic_load_n(&changes_, __ATOMIC_ACQUIRE);
			ExitCounters counters = rows_[row];
			if (row == row_)
				counters.add(now_);
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			if (!(change & 1) && __atomic_load_n(&changes_, __ATOMIC_RELAXED) == change) {
				sum.add(counters);
				return;
			}
		}
	}

	Counters* next = nullptr;  // in g_vcpu_counters

 private:
	// Interrupts off, so that no reader waits long for an even number.
	VREGCACHE_COLD void change_reason(u32 basic_reason, u32 vmreads)
	{
		reason_ = basic_reason;
		u32 row = basic_reason < kExitReasonCount ? basic_reason : kExitReasonCount - 1;
		if (row == row_)
			return;
		__atomic_store_n(&changes_, changes_ + 1, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		now_.accesses.vmreads -= vmreads;
		rows_[row_].add(now_);
		now_ = {};
		now_.accesses.vmreads = vmreads;
		row_ = row;
		__atomic_store_n(&changes_, changes_ + 1, __ATOMIC_RELEASE);
	}

	ExitCounters now_;  // since the row is row_; rows_ has the rest
	u32 row_ = kSetupRow;
	u32 reason_ = ~0u;  // that the row is for; several that have no name share one
	u32 vcpu_ = 0;      // for trace events
	u32 changes_ = 0;   // of the row, twice each; odd while one is made
	ExitCounters rows_[kCounterRows];
};

}  // namespace
