// SPDX-License-Identifier: GPL-2.0
// Cache hooks built from parts, so that a test supplies only the part that it checks.
#pragma once

#include <vregcache/hooks.h>

namespace vregcache::test {

// Each of these does nothing.
struct NoContext {
	void check(Operation, Reg) const {}
};

struct NoObserver {
	bool watches_reads() const { return false; }
	void hit(Reg) {}
	void miss(Reg, u64) {}
	void write_back(Reg, u64) {}
	void invalidate(RegSet) {}
	void no_register(u32) {}
};

struct NoVerification {
	bool enabled() const { return false; }
	void cached(Reg, Operation, const void*) {}
	void compared(FoundAt) {}
	void mismatch(FoundAt, Reg, u64, u64) {}
	void wrong_vmcs(FoundAt, VmcsId, VmcsId) {}
};

// Always inlined, as the module's hooks are.
template <class Context, class Observer = NoObserver, class Verification = NoVerification>
struct HooksOf {
	VREGCACHE_INLINE void check(Operation operation, Reg reg) const { context.check(operation, reg); }

	VREGCACHE_INLINE bool watches_reads() const { return observer.watches_reads(); }
	VREGCACHE_INLINE void hit(Reg reg) { observer.hit(reg); }
	VREGCACHE_INLINE void miss(Reg reg, u64 value) { observer.miss(reg, value); }
	VREGCACHE_INLINE void misses(RegSet set, const u64* value)
		requires requires(Observer& it) { it.misses(set, value); }
	{
		observer.misses(set, value);
	}
	VREGCACHE_INLINE void write_back(Reg reg, u64 value) { observer.write_back(reg, value); }
	VREGCACHE_INLINE void invalidate(RegSet set) { observer.invalidate(set); }
	VREGCACHE_INLINE void no_register(u32 number) { observer.no_register(number); }

	static constexpr bool kMayVerify = !SameAs<Verification, NoVerification>;
	VREGCACHE_INLINE bool verifies() const { return verification.enabled(); }
	VREGCACHE_INLINE void cached(Reg reg, Operation how, const void* caller)
	{
		verification.cached(reg, how, caller);
	}
	VREGCACHE_INLINE void compared(FoundAt where) { verification.compared(where); }
	VREGCACHE_INLINE void mismatch(FoundAt where, Reg reg, u64 in_memory, u64 in_vmcs)
	{
		verification.mismatch(where, reg, in_memory, in_vmcs);
	}
	VREGCACHE_INLINE void wrong_vmcs(FoundAt where, VmcsId expected, VmcsId current)
	{
		verification.wrong_vmcs(where, expected, current);
	}

	Context context;
	Observer observer;
	Verification verification;
};

}  // namespace vregcache::test
