// SPDX-License-Identifier: GPL-2.0 OR MIT
// The general-purpose registers.  VM-entry and VM-exit do not switch them, so the entry code moves all of them each time, and
// they have no bits in the cache.  The numbers are those of instruction encodings.  RSP's slot is unused: it is in the VMCS.
// Numbers 16 to 31 are reserved for APX, which no guest has today.
#pragma once

#include "types.h"

namespace vregcache {

// clang-format off
enum class Gpr : u8 {
	kRax, kRcx, kRdx, kRbx, kRsp, kRbp, kRsi, kRdi,
	kR8, kR9, kR10, kR11, kR12, kR13, kR14, kR15,
};
// clang-format on

constexpr u32 kGprSlots = 32;
constexpr u8 kGprCount = 16;  // of which a guest has these

VREGCACHE_INLINE bool is_register(Gpr gpr) { return static_cast<u8>(gpr) < kGprCount; }

struct GprFile {
	u64 value[kGprSlots] = {};

	VREGCACHE_INLINE u64& operator[](Gpr gpr) { return value[static_cast<u8>(gpr)]; }
	VREGCACHE_INLINE u64 operator[](Gpr gpr) const { return value[static_cast<u8>(gpr)]; }
};

// The entry code in assembly knows this layout.
static_assert(sizeof(GprFile) == sizeof(u64) * kGprSlots);

}  // namespace vregcache
