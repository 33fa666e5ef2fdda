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

}  // namespace
