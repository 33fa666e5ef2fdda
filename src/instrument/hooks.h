// SPDX-License-Identifier: GPL-2.0
// The hooks of a vCPU's register cache: its context rule, its counters, its trace events and its verification.
#pragma once

#include "instrument/context.h"
#include "instrument/counters.h"
#include "instrument/trace.h"
#include "instrument/verification.h"

namespace {

#ifdef CONFIG_LOCKDEP
constexpr bool kLockdep = true;
#else
constexpr bool kLockdep = false;
#endif

class VcpuHooks : public vregcache::NoHooks {
 public:
	using Reg = vregcache::Reg;
	using RegSet = vregcache::RegSet;

	[[gnu::always_inline]] void check(vregcache::Operation operation, Reg reg) const
	{
		context.check(operation, reg);
	}

	// With lockdep the context of each access is checked.
	[[gnu::always_inline]] bool watches_reads() const { return kLockdep || is_set(vrc_watched_reads); }
	void hit(Reg)
	{
		if (__atomic_load_n(&vrc_watched_reads, __ATOMIC_RELAXED) & VRC_WATCH_HITS)
			counters.hit();
	}
	[[gnu::always_inline]] void miss(Reg reg, u64 value)
	{
		counters.vmread();
		trace_miss(vcpu_, reg, value);
	}
	[[gnu::always_inline]] void misses(RegSet set, const u64* value)
	{
		counters.vmread(set.size());
		trace_misses(vcpu_, set, value);
	}
	[[gnu::always_inline]] void write_back(Reg reg, u64 value)
	{
		counters.vmwrite();
		trace_write_back(vcpu_, reg, value);
	}
	[[gnu::always_inline]] void invalidate(RegSet set) { trace_invalidate(vcpu_, set); }
	void no_register(u32 number) { vrc_host_warn_no_register(number); }

	static constexpr bool kMayVerify = true;
	bool verifies() const { return ::verifies(); }
	void cached(Reg reg, vregcache::Operation how, const void* caller) { verification.cached(reg, how, caller); }
	void compared(vregcache::FoundAt where) { verification.compared(where); }
	void mismatch(vregcache::FoundAt where, Reg reg, u64 in_memory, u64 in_vmcs)
	{
		verification.mismatch(where, reg, in_memory, in_vmcs);
	}
	void wrong_vmcs(vregcache::FoundAt where, VmcsId expected, VmcsId current)
	{
		verification.wrong_vmcs(where, expected, current);
	}

	void set_vcpu(u32 id, const vrc_host_vcpu* host)
	{
		vcpu_ = id;
		context.set_vcpu(host);
		verification.set_vcpu(id);
	}

	Counters counters;
	CallingContext context;
	Verification verification;

 private:
	u32 vcpu_ = 0;  // for trace events
};

static_assert(vregcache::CacheHooks<VcpuHooks>);

}  // namespace
