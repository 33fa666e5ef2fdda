// SPDX-License-Identifier: GPL-2.0 OR MIT
// The names of the registers that the cache has bits for, and sets of them.
//
// One register is one VMCS field.  What a guest sees as one register and hardware keeps in two (CR0 and CR4 with their
// read shadows) is two names here; guest_control_register.h merges them.  So a register's two bits always say the
// whole truth about one field, and a set of all registers fits in one 64-bit word.
#pragma once

#include "registers.def"
#include "types.h"

namespace vregcache {

#define VREGCACHE_ENUMERATOR(unused, number, name, constant, field) constant = (number)
enum class Reg : u8 {
	VREGCACHE_PLAIN_REGISTERS(VREGCACHE_ENUMERATOR, ),
	// Segment registers take the upper half of the word: eight segments of four parts each.
	kFirstSegment = VREGCACHE_FIRST_SEGMENT,
	kEnd = VREGCACHE_REGISTER_END,
};
#undef VREGCACHE_ENUMERATOR

// In the order of the VMCS encodings.
#define VREGCACHE_ENUMERATOR(unused, selector, base, limit, access_rights, zeros, name, constant) constant
enum class Segment : u8 { VREGCACHE_SEGMENTS(VREGCACHE_ENUMERATOR, ) };
#undef VREGCACHE_ENUMERATOR
enum class SegmentPart : u8 { kSelector, kBase, kLimit, kAccessRights };
constexpr u8 kSegmentCount = 8;
static_assert(VREGCACHE_FIRST_SEGMENT + kSegmentCount * 4 <= VREGCACHE_REGISTER_END);

VREGCACHE_INLINE u8 index(Reg reg) { return static_cast<u8>(reg); }

VREGCACHE_INLINE Reg segment_register(Segment segment, SegmentPart part)
{
	return static_cast<Reg>(index(Reg::kFirstSegment) + static_cast<u8>(segment) * 4 + static_cast<u8>(part));
}

VREGCACHE_INLINE bool is_register(Reg reg) { return reg < Reg::kEnd; }

class RegSet {
 public:
	VREGCACHE_INLINE RegSet() = default;
	VREGCACHE_INLINE explicit RegSet(u64 bits) : bits_(bits) {}
	template <class... Regs>
	VREGCACHE_INLINE RegSet(Reg first, Regs... rest) : bits_((bit(first) | ... | bit(rest)))
	{}

	VREGCACHE_INLINE static RegSet range(Reg first, Reg last) { return RegSet(bit(last) * 2 - bit(first)); }
	VREGCACHE_INLINE static RegSet all() { return RegSet(~u64{0}); }

	VREGCACHE_INLINE bool contains(Reg reg) const { return bits_ & bit(reg); }
	VREGCACHE_INLINE bool contains(RegSet other) const { return (other.bits_ & ~bits_) == 0; }
	VREGCACHE_INLINE bool empty() const { return bits_ == 0; }
	VREGCACHE_INLINE Reg first() const { return static_cast<Reg>(__builtin_ctzll(bits_)); }
	VREGCACHE_INLINE RegSet without_first() const { return RegSet(bits_ & (bits_ - 1)); }
	VREGCACHE_INLINE u32 size() const { return static_cast<u32>(__builtin_popcountll(bits_)); }
	VREGCACHE_INLINE u64 bits() const { return bits_; }

	VREGCACHE_INLINE RegSet operator|(RegSet other) const { return RegSet(bits_ | other.bits_); }
	VREGCACHE_INLINE RegSet operator&(RegSet other) const { return RegSet(bits_ & other.bits_); }
	VREGCACHE_INLINE RegSet operator-(RegSet other) const { return RegSet(bits_ & ~other.bits_); }
	// clang-format off
	VREGCACHE_INLINE RegSet& operator|=(RegSet other) { bits_ |= other.bits_; return *this; }
	VREGCACHE_INLINE RegSet& operator-=(RegSet other) { bits_ &= ~other.bits_; return *this; }
	// clang-format on
	VREGCACHE_INLINE bool operator==(const RegSet& other) const { return bits_ == other.bits_; }

 private:
	VREGCACHE_INLINE static u64 bit(Reg reg) { return u64{1} << index(reg); }

	u64 bits_ = 0;
};

}  // namespace vregcache
