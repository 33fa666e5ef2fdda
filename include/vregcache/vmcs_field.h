// SPDX-License-Identifier: GPL-2.0 OR MIT
// A VMCS field is a type.  Its encoding determines its width and whether it can be written (SDM Vol. 3C, 25.11.2 and
// Appendix B), and the compiler enforces both.
#pragma once

#include "types.h"

namespace vregcache {

enum class FieldWidth : u8 { k16 = 0, k64 = 1, k32 = 2, kNatural = 3 };
enum class FieldKind : u8 { kControl = 0, kExitInformation = 1, kGuestState = 2, kHostState = 3 };

VREGCACHE_INLINE FieldWidth field_width(u32 encoding) { return static_cast<FieldWidth>(encoding >> 13 & 3); }

VREGCACHE_INLINE FieldKind field_kind(u32 encoding) { return static_cast<FieldKind>(encoding >> 10 & 3); }

template <FieldWidth kWidth>
struct FieldValueOf {
	using Type = u64;
};
template <>
struct FieldValueOf<FieldWidth::k16> {
	using Type = u16;
};
template <>
struct FieldValueOf<FieldWidth::k32> {
	using Type = u32;
};
template <FieldWidth kWidth>
using FieldValue = typename FieldValueOf<kWidth>::Type;

template <u32 kFieldEncoding>
struct Field {
	// Bit 0 selects the high half of a 64-bit field, which a 64-bit host never needs; bits 12 and 31:15 are zero.
	static_assert((kFieldEncoding & ~0x6ffeu) == 0, "not the encoding of a VMCS field");

	static constexpr u32 kEncoding = kFieldEncoding;
	static constexpr FieldWidth kWidth = field_width(kFieldEncoding);
	static constexpr FieldKind kKind = field_kind(kFieldEncoding);
	static constexpr bool kWritable = kKind != FieldKind::kExitInformation;
	using Value = FieldValue<kWidth>;
};

}  // namespace vregcache
