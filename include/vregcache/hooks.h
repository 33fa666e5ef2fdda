// SPDX-License-Identifier: GPL-2.0
// What a cache is told about its surroundings: who may use it (Context), who watches (Observer), and whether it is to prove
// that it is right (Verification).  The ones here do nothing and cost nothing.
#pragma once

#include <concepts>

#include "access.h"
#include "register.h"

namespace vregcache {

// In place of a register.
inline constexpr Reg kNoReg = Reg::kEnd;

enum class Operation : u8 { kBind, kRead, kWrite, kWriteBack, kVmExit, kVmEntryFailed, kReload, kWatchingChanged };

// Where the cache was found to differ from the VMCS.
enum class FoundAt : u8 { kMiss, kHit, kVmEntry };

// clang-format off
template <class C>
concept ContextPolicy = requires(const C& context, Operation operation, Reg reg) {
	// Complains when the calling context may not use the cache.  The operation goes on: it is a check, not a lock.
	// Accesses to quick registers are not checked: who wants all of them has the observer watch reads.
	context.check(operation, reg);  // kNoReg: the operation is about no register, or about several
};

template <class O>
concept CacheObserver = requires(O& observer, Reg reg, RegSet set, u64 value, u32 number) {
	// While it says true no register is quick, so that each access is checked for its context and the observer hears of
	// every read that memory serves.  A change takes effect at the next VM-exit, or with Cache::watching_changed().
	{ observer.watches_reads() } -> std::same_as<bool>;
	observer.hit(reg);                // a read was served from memory
	// A read took its value from the VMCS.  An observer may also have misses(RegSet set, const u64* value): all of @set were
	// read, and value[index(reg)] has what.
	observer.miss(reg, value);
	observer.write_back(reg, value);  // a dirty register was stored into the VMCS
	observer.invalidate(set);         // these registers are in the VMCS only
	observer.no_register(number);     // somebody asked for a register of a number that no register has
};

// What is found wrong changes nothing: a read gives memory's value, and VM-entry goes on with the VMCS's.
template <class V>
concept VerificationPolicy = requires(V& verification, Operation how, const void* who, FoundAt where, Reg reg, u64 value,
				      VmcsId vmcs) {
	// While it says true, the cache compares itself with the VMCS: what is available and not dirty, at each VM-entry, and,
	// if the observer watches reads, at each read that memory serves.
	{ verification.enabled() } -> std::same_as<bool>;
	// Memory got a value of the register, by this operation, called from there.  Only while enabled and reads are watched.
	verification.cached(reg, how, who);
	verification.compared(where);                      // a register was compared with its field
	verification.mismatch(where, reg, value, value);   // and differs: what memory has, what the VMCS has
	verification.wrong_vmcs(where, vmcs, vmcs);        // the one of the cache, the one that is really current
};

// What verification asks of the Access, beside VmcsAccess.
template <class A>
concept VerifiableAccess = requires(const A& access, u32 encoding, VmcsId id) {
	// VMREAD, which nobody counts.
	{ access.verify_read(encoding) } -> std::same_as<Result<u64>>;
	// The VMCS that the CPU says is current, after is_current(@id) said so; @id where that cannot be found out.
	{ access.really_current(id) } -> std::same_as<VmcsId>;
};
// clang-format on

struct AnyContext {
	VREGCACHE_INLINE void check(Operation, Reg) const {}
};

struct NoObserver {
	VREGCACHE_INLINE bool watches_reads() const { return false; }
	VREGCACHE_INLINE void hit(Reg) {}
	VREGCACHE_INLINE void miss(Reg, u64) {}
	VREGCACHE_INLINE void write_back(Reg, u64) {}
	VREGCACHE_INLINE void invalidate(RegSet) {}
	VREGCACHE_INLINE void no_register(u32) {}
};

struct NoVerification {
	VREGCACHE_INLINE bool enabled() const { return false; }
	VREGCACHE_INLINE void cached(Reg, Operation, const void*) {}
	VREGCACHE_INLINE void compared(FoundAt) {}
	VREGCACHE_INLINE void mismatch(FoundAt, Reg, u64, u64) {}
	VREGCACHE_INLINE void wrong_vmcs(FoundAt, VmcsId, VmcsId) {}
};

}  // namespace vregcache
