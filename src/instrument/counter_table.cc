// SPDX-License-Identifier: GPL-2.0
// The counters of all vCPUs, added up.
#include "instrument/counter_table.h"
#include "machine.h"

namespace {

// Under the global lock: the counters of the existing vCPUs, the sum of those that are gone, and the values at the last reset,
// which are subtracted.
Counters* g_vcpu_counters;

ExitCounters g_gone[kCounterRows];
ExitCounters g_at_reset[kCounterRows];

inline void register_counters(Counters& counters)
{
	vrc_host_global_lock();
	counters.next = g_vcpu_counters;
	g_vcpu_counters = &counters;
	vrc_host_global_unlock();
}

inline void unregister_counters(Counters& counters)
{
	vrc_host_global_lock();
	Counters** link = &g_vcpu_counters;
	while (*link != &counters)
		link = &(*link)->next;
	*link = counters.next;
	for (u32 row = 0; row < kCounterRows; row++)
		counters.add_row(row, g_gone[row]);
	vrc_host_global_unlock();
}

// The caller holds the global lock.
inline ExitCounters sum_of_row(u32 row)
{
	ExitCounters sum = g_gone[row];
	for (const Counters* counters = g_vcpu_counters; counters; counters = counters->next)
		counters->add_row(row, sum);
	return sum;
}

}  // namespace

extern "C" vrc_bool vrc_counter_row(unsigned int index, struct vrc_counter_row* row)
{
	if (index >= kCounterRows)
		return false;
	vrc_host_global_lock();
	ExitCounters counters = sum_of_row(index);
	counters.subtract(g_at_reset[index]);
	vrc_host_global_unlock();
	row->reason = index == kSetupRow ? "setup" : exit_reason_name(index);
	row->exits = counters.exits;
	row->hits = counters.accesses.hits;
	row->vmreads = counters.accesses.vmreads;
	row->vmwrites = counters.accesses.vmwrites;
	row->eager = counters.exits * vregcache::RegSet::all().size();
	return true;
}

extern "C" void vrc_counters_reset(void)
{
	vrc_host_global_lock();
	for (u32 row = 0; row < kCounterRows; row++)
		g_at_reset[row] = sum_of_row(row);
	vrc_host_global_unlock();
}
