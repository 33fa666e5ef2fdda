// SPDX-License-Identifier: GPL-2.0
// The library's names that the machine uses everywhere.
#pragma once

#include <vregcache/context_token.h>
#include <vregcache/result.h>

namespace {

using vregcache::Error;
using vregcache::Result;
using vregcache::u16;
using vregcache::u32;
using vregcache::u64;
using vregcache::u8;
using vregcache::VmcsId;

// A byte that others may change at any time, compared where it is.
[[gnu::always_inline]] inline bool is_set(const u8& byte)
{
	bool set;
	asm("cmpb $0, %1" : "=@ccne"(set) : "m"(byte));
	return set;
}

[[gnu::always_inline]] inline bool is_set(const u64& word)
{
	bool set;
	asm("cmpq $0, %1" : "=@ccne"(set) : "m"(word));
	return set;
}

// @index, which is below @size; 0 where the CPU has only predicted that it is (Spectre variant 1).
[[gnu::always_inline]] inline u64 index_nospec(u64 index, u64 size)
{
	u64 mask;
	asm volatile("cmp %2, %1; sbb %0, %0" : "=r"(mask) : "r"(index), "g"(size) : "cc");
	return index & mask;
}

}  // namespace
