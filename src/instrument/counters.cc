// SPDX-License-Identifier: GPL-2.0
// Counts accesses to the VMCS by the exit that made them.
#include "instrument/counters.h"

namespace {

inline void ExitCounters::add(const ExitCounters& other)
{
	exits += other.exits;
	accesses.hits += other.accesses.hits;
	accesses.vmreads += other.accesses.vmreads;
	accesses.vmwrites += other.accesses.vmwrites;
}

inline void ExitCounters::subtract(const ExitCounters& other)
{
	exits -= other.exits;
	accesses.hits -= other.accesses.hits;
	accesses.vmreads -= other.accesses.vmreads;
	accesses.vmwrites -= other.accesses.vmwrites;
}

inline void Counters::add_row(u32 row, ExitCounters& sum) const
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

VREGCACHE_OUT_OF_LINE void Counters::change_reason(u32 basic_reason)
{
	reason_ = basic_reason;
	u32 row = basic_reason < kExitReasonCount ? basic_reason : kOtherRow;
	if (row == row_)
		return;
	__atomic_store_n(&changes_, changes_ + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	rows_[row_].add(now_);
	now_ = {};
	row_ = row;
	__atomic_store_n(&changes_, changes_ + 1, __ATOMIC_RELEASE);
}

}  // namespace
