// SPDX-License-Identifier: GPL-2.0
// Integer types and bit helpers.
#ifndef VMX_ON_SVM_TYPES_H
#define VMX_ON_SVM_TYPES_H

#include <cstddef>
#include <cstdint>

namespace {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;

constexpr u64 kPageBytes = 4096;
constexpr u64 kPageMask = ~(kPageBytes - 1);

constexpr u64 bit(unsigned number) { return u64{1} << number; }

// Bits first to last, both included.
constexpr u64 bits(unsigned first, unsigned last) { return (~u64{0} >> (63 - (last - first))) << first; }

constexpr u64 low_half(u64 value) { return value & 0xffffffff; }

}  // namespace

#endif
