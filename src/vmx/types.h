// SPDX-License-Identifier: GPL-2.0
// Names of the library that the C++ part uses everywhere.
#pragma once

#include <vregcache/access.h>
#include <vregcache/result.h>

namespace {

using vregcache::Error;
using vregcache::Result;
using vregcache::u16;
using vregcache::u32;
using vregcache::u64;
using vregcache::u8;
using vregcache::VmcsId;

// Tests a byte, which may change at any time, directly in memory.
[[gnu::always_inline]] inline bool is_set(const u8& byte)
{
	bool set;
	asm("cmpb $0, %1" : "=@ccne"(set) : "m"(byte));
	return set;
}

template <class T>
bool is_set(const T&) = delete;

// The same for two words.
[[gnu::always_inline]] inline bool is_any_set(const u64& one, const u64& other)
{
	bool set;
	u64 both;
	asm("movq %2, %1; orq %3, %1" : "=@ccne"(set), "=&r"(both) : "m"(one), "m"(other));
	return set;
}

// Returns @index, which is below @size, or 0 if the CPU has mispredicted that check (Spectre variant 1).
[[gnu::always_inline]] inline u64 index_nospec(u64 index, u64 size)
{
	u64 mask;
	asm volatile("cmp %2, %1; sbb %0, %0" : "=r"(mask) : "r"(index), "g"(size) : "cc");
	return index & mask;
}

}  // namespace
