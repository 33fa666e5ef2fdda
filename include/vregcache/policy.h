// SPDX-License-Identifier: GPL-2.0
// What a cache is told about its surroundings: who may use it (Context) and who watches (Observer).
// The ones here do nothing and cost nothing.
#pragma once

#include <concepts>

#include "register.h"

namespace vregcache {

// In place of a register.
inline constexpr Reg kNoReg = Reg::kEnd;

enum class Operation : u8 { kBind, kRead, kWrite, kWriteBack, kVmExit, kVmEntryFailed, kReload, kWatchingChanged };

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
	observer.miss(reg, value);        // a read took its value from the VMCS
	observer.write_back(reg, value);  // a dirty register was stored into the VMCS
	observer.invalidate(set);         // these registers are in the VMCS only
	observer.no_register(number);     // somebody asked for a register of a number that no register has
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

}  // namespace vregcache
