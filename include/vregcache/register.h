// SPDX-License-Identifier: GPL-2.0 OR MIT
// The registers of the cache, and sets of them.
//
// One register is one VMCS field.  CR0 and CR4, which hardware keeps in two fields each (the register and its read shadow), are
// two registers here; guest_control_register.h merges them.  So the bits of a register describe exactly one field, and a set of
// all registers fits in one 64-bit word.
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

// A set of registers, in one word.  @kRegisters: more than the greatest number of one.
template <unsigned kRegisters>
class BasicRegSet {
 public:
	VREGCACHE_INLINE BasicRegSet() = default;
	VREGCACHE_INLINE explicit BasicRegSet(u64 bits) : bits_(bits) {}
	template <class... Regs>
	VREGCACHE_INLINE BasicRegSet(Reg first, Regs... rest) : bits_((bit(first) | ... | bit(rest)))
	{}

	// From @first to @last.
	VREGCACHE_INLINE static BasicRegSet range(Reg first, Reg last)
	{
		return BasicRegSet(bit(last) * 2 - bit(first));
	}
	VREGCACHE_INLINE static BasicRegSet all() { return BasicRegSet(~u64{0} >> (64 - kRegisters)); }

	VREGCACHE_INLINE bool contains(Reg reg) const { return bits_ & bit(reg); }
	VREGCACHE_INLINE bool contains(BasicRegSet other) const { return (other.bits_ & ~bits_) == 0; }
	VREGCACHE_INLINE bool empty() const { return bits_ == 0; }
	// Of a set that is not empty.
	VREGCACHE_INLINE Reg first() const { return static_cast<Reg>(__builtin_ctzll(bits_)); }
	VREGCACHE_INLINE BasicRegSet without_first() const { return BasicRegSet(bits_ & (bits_ - 1)); }
	VREGCACHE_INLINE u32 size() const { return static_cast<u32>(__builtin_popcountll(bits_)); }
	VREGCACHE_INLINE u64 bits() const { return bits_; }

	VREGCACHE_INLINE BasicRegSet operator|(BasicRegSet other) const { return BasicRegSet(bits_ | other.bits_); }
	VREGCACHE_INLINE BasicRegSet operator&(BasicRegSet other) const { return BasicRegSet(bits_ & other.bits_); }
	VREGCACHE_INLINE BasicRegSet operator-(BasicRegSet other) const { return BasicRegSet(bits_ & ~other.bits_); }
	// clang-format off
	VREGCACHE_INLINE BasicRegSet& operator|=(BasicRegSet other) { bits_ |= other.bits_; return *this; }
	VREGCACHE_INLINE BasicRegSet& operator-=(BasicRegSet other) { bits_ &= ~other.bits_; return *this; }
	// clang-format on
	VREGCACHE_INLINE bool operator==(const BasicRegSet& other) const { return bits_ == other.bits_; }

 private:
	VREGCACHE_INLINE static u64 bit(Reg reg) { return u64{1} << index(reg); }

	u64 bits_ = 0;
};

// The same for more of them.  Whatever names a register by a constant touches one word only, so a hit takes no more instructions.
template <unsigned kRegisters>
	requires(kRegisters > 64)
class BasicRegSet<kRegisters> {
 public:
	static constexpr unsigned kWords = (kRegisters + 63) / 64;

	VREGCACHE_INLINE BasicRegSet() = default;
	template <class... Regs>
	VREGCACHE_INLINE BasicRegSet(Reg first, Regs... rest)
	{
		insert(first);
		(insert(rest), ...);
	}

	// From @first to @last.
	VREGCACHE_INLINE static BasicRegSet range(Reg first, Reg last)
	{
		BasicRegSet set;
		for (unsigned number = index(first); number <= index(last); number++)
			set.insert(static_cast<Reg>(number));
		return set;
	}
	VREGCACHE_INLINE static BasicRegSet all()
	{
		BasicRegSet set;
		for (unsigned w = 0; w < kWords; w++)
			set.word_[w] = w + 1 == kWords && kRegisters % 64 ? (u64{1} << kRegisters % 64) - 1 : ~u64{0};
		return set;
	}

	VREGCACHE_INLINE bool contains(Reg reg) const { return word_[word_of(reg)] & bit(reg); }
	VREGCACHE_INLINE bool contains(const BasicRegSet& other) const { return (other - *this).empty(); }
	VREGCACHE_INLINE bool empty() const
	{
		u64 any = 0;
		for (u64 word : word_)
			any |= word;
		return any == 0;
	}
	// Of a set that is not empty.
	VREGCACHE_INLINE Reg first() const
	{
		unsigned w = first_word();
		return static_cast<Reg>(64 * w + static_cast<unsigned>(__builtin_ctzll(word_[w])));
	}
	VREGCACHE_INLINE BasicRegSet without_first() const
	{
		BasicRegSet set = *this;
		unsigned w = first_word();
		set.word_[w] &= word_[w] - 1;
		return set;
	}
	VREGCACHE_INLINE u32 size() const
	{
		u32 size = 0;
		for (u64 word : word_)
			size += static_cast<u32>(__builtin_popcountll(word));
		return size;
	}
	// clang-format off
	VREGCACHE_INLINE BasicRegSet operator|(const BasicRegSet& other) const { BasicRegSet set = *this; return set |= other; }
	VREGCACHE_INLINE BasicRegSet operator&(const BasicRegSet& other) const { BasicRegSet set = *this; return set &= other; }
	VREGCACHE_INLINE BasicRegSet operator-(const BasicRegSet& other) const { BasicRegSet set = *this; return set -= other; }
	// clang-format on
	VREGCACHE_INLINE BasicRegSet& operator|=(const BasicRegSet& other)
	{
		for (unsigned w = 0; w < kWords; w++)
			word_[w] |= other.word_[w];
		return *this;
	}
	VREGCACHE_INLINE BasicRegSet& operator&=(const BasicRegSet& other)
	{
		for (unsigned w = 0; w < kWords; w++)
			word_[w] &= other.word_[w];
		return *this;
	}
	VREGCACHE_INLINE BasicRegSet& operator-=(const BasicRegSet& other)
	{
		for (unsigned w = 0; w < kWords; w++)
			word_[w] &= ~other.word_[w];
		return *this;
	}
	VREGCACHE_INLINE bool operator==(const BasicRegSet& other) const
	{
		for (unsigned w = 0; w < kWords; w++) {
			if (word_[w] != other.word_[w])
				return false;
		}
		return true;
	}
	// One register, where the set is in memory: one word is touched.
	VREGCACHE_INLINE BasicRegSet& operator|=(Reg reg)
	{
		insert(reg);
		return *this;
	}

 private:
	VREGCACHE_INLINE static unsigned word_of(Reg reg) { return index(reg) / 64; }
	VREGCACHE_INLINE static u64 bit(Reg reg) { return u64{1} << index(reg) % 64; }
	VREGCACHE_INLINE void insert(Reg reg) { word_[word_of(reg)] |= bit(reg); }
	VREGCACHE_INLINE unsigned first_word() const
	{
		unsigned w = 0;
		while (w + 1 < kWords && !word_[w])
			w++;
		return w;
	}

	u64 word_[kWords] = {};
};

using RegSet = BasicRegSet<VREGCACHE_REGISTER_END>;

}  // namespace vregcache
