// SPDX-License-Identifier: GPL-2.0 OR MIT
// The integer types of the library.  They are the ones of <linux/types.h>, so that values cross the boundary to
// the kernel without a conversion; no kernel header is included.
#pragma once

namespace vregcache {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

static_assert(sizeof(u8) == 1 && sizeof(u16) == 2 && sizeof(u32) == 4 && sizeof(u64) == 8);

// Members of classes that are not templates are inlined always: a kernel module must not contain the weak symbols
// that their out-of-line copies would be.
#define VREGCACHE_INLINE [[gnu::always_inline]] constexpr
// Not copied for its callers either.
#ifdef __clang__
#define VREGCACHE_OUT_OF_LINE [[gnu::noinline]]
#else
#define VREGCACHE_OUT_OF_LINE [[gnu::noinline, gnu::noclone]]
#endif
#define VREGCACHE_COLD [[gnu::cold, gnu::noinline]]

}  // namespace vregcache
