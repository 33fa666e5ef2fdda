// SPDX-License-Identifier: GPL-2.0 OR MIT
// What a cache calls of its surroundings: to check the calling context, to observe, and to verify the cache against the VMCS.
#pragma once

#include "access.h"
#include "concepts.h"
#include "register.h"

namespace vregcache {

// In place of a register.
inline constexpr Reg kNoReg = Reg::kEnd;

enum class Operation : u8 { kBind, kRead, kWrite, kWriteBack, kVmExit, kVmEntryFailed, kReload, kWatchingChanged };

// Where the cache was found to differ from the VMCS.
enum class FoundAt : u8 { kMiss, kHit, kVmEntry };

// No hooks, and no cost.  Hooks derive from it and replace the functions that they need; none is virtual.
struct NoHooks {
	// ---- context ----

	// May complain that the calling context must not use the cache.  The operation goes on: this is a check, not a lock.
	// @reg: kNoReg if the operation is about no register, or about several.  Fast-path accesses are not checked.
	VREGCACHE_INLINE void check(Operation, Reg) const {}

	// ---- observation ----

	// While it is true no access takes the fast path: each is checked, and hit() is called for each read that memory serves.
	// A change takes effect at the next VM-exit, or with Cache::watching_changed().
	VREGCACHE_INLINE bool watches_reads() const { return false; }
	// A read was served from memory.
	VREGCACHE_INLINE void hit(Reg) {}
	// A read took this value from the VMCS.  Hooks may also have misses(RegSet set, const u64* value), for several at once:
	// value[index(reg)] is that of each.
	VREGCACHE_INLINE void miss(Reg, u64) {}
	// A dirty register was written back.
	VREGCACHE_INLINE void write_back(Reg, u64) {}
	// These registers are in the VMCS only.
	VREGCACHE_INLINE void invalidate(RegSet) {}
	// An operation named a register that does not exist.
	VREGCACHE_INLINE void no_register(u32) {}

	// ---- verification ----

	// False: verifies() never is true, and the code for it is not there.
	static constexpr bool kMayVerify = false;
	// While it is true the cache compares itself with the VMCS: registers that are available and not dirty, at each VM-entry,
	// and, while reads are watched, at each read that memory serves.  What differs changes nothing: a read returns memory's
	// value, and VM-entry goes on with the VMCS's.
	VREGCACHE_INLINE bool verifies() const { return false; }
	// Memory got a value of the register, by this operation of this caller.  Only while reads are watched and verified.
	VREGCACHE_INLINE void cached(Reg, Operation, const void*) {}
	// A register was compared with its field.
	VREGCACHE_INLINE void compared(FoundAt) {}
	// And differs: what memory has, and what the VMCS has.
	VREGCACHE_INLINE void mismatch(FoundAt, Reg, u64, u64) {}
	// The VMCS that the cache belongs to is not the one that is current.
	VREGCACHE_INLINE void wrong_vmcs(FoundAt, VmcsId, VmcsId) {}
};

// clang-format off
template <class H>
concept CacheHooks = requires(H& hooks, const H& constant, Operation operation, const void* caller, FoundAt where, Reg reg, RegSet set,
			      u64 value, u32 number, VmcsId vmcs) {
	constant.check(operation, reg);
	{ constant.watches_reads() } -> SameAs<bool>;
	hooks.hit(reg);
	hooks.miss(reg, value);
	hooks.write_back(reg, value);
	hooks.invalidate(set);
	hooks.no_register(number);
	requires H::kMayVerify || !H::kMayVerify;
	{ constant.verifies() } -> SameAs<bool>;
	hooks.cached(reg, operation, caller);
	hooks.compared(where);
	hooks.mismatch(where, reg, value, value);
	hooks.wrong_vmcs(where, vmcs, vmcs);
};

// What verification needs of the Access, beside VmcsAccess.
template <class A>
concept VerifiableAccess = requires(const A& access, u32 encoding, VmcsId id) {
	// VMREAD, which nobody counts.
	{ access.verify_read(encoding) } -> SameAs<Result<u64>>;
	// The VMCS that the CPU says is current, after is_current(@id) said so; @id where that cannot be found out.
	{ access.really_current(id) } -> SameAs<VmcsId>;
};
// clang-format on

}  // namespace vregcache
