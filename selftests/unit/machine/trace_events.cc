// SPDX-License-Identifier: GPL-2.0
// Listeners of the events that the module reports, and of its context checks, from within its code.  They have a calling
// convention of their own: every register is preserved.
#include <machine.h>

#include "host.h"

namespace vregcache::test {

TracedAccess g_traced_access[kTracedAccesses];
u32 g_traced_accesses;

}  // namespace vregcache::test

using vregcache::test::AccessEvent;

namespace {

[[gnu::always_inline]] inline void keep(AccessEvent event, vrc_u32 reg, vrc_u64 value)
{
	using namespace vregcache::test;
	if (g_traced_accesses < kTracedAccesses)
		g_traced_access[g_traced_accesses++] = {event, reg, value};
}

}  // namespace

void vrc_trace_miss(vrc_u32, vrc_u32 reg, vrc_u64 value) { keep(AccessEvent::kMiss, reg, value); }
void vrc_trace_misses(vrc_u32, vrc_u64 set, const vrc_u64* value)
{
	for (; set; set &= set - 1) {
		unsigned reg = static_cast<unsigned>(__builtin_ctzll(set));
		keep(AccessEvent::kMiss, reg, value[reg]);
	}
}
void vrc_trace_write_back(vrc_u32, vrc_u32 reg, vrc_u64 value) { keep(AccessEvent::kWriteBack, reg, value); }
void vrc_trace_invalidate(vrc_u32, vrc_u64 set) { keep(AccessEvent::kInvalidate, 0, set); }
void vrc_trace_vmcs_load(vrc_u32, vrc_u64, int) {}

extern "C" void note_context_check(const vrc_host_vcpu* vcpu, vrc_u32 what);

// Called with a stack aligned as in the kernel.
[[gnu::force_align_arg_pointer]] void vrc_check_context(const vrc_host_vcpu* vcpu, vrc_u32 what, const void*)
{
	note_context_check(vcpu, what);
}
