// SPDX-License-Identifier: GPL-2.0 OR MIT
// The integer types of the library.  They are those of <linux/types.h>, so that values need no conversion at the boundary to the
// kernel; no kernel header is included.
#pragma once

namespace vregcache {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

static_assert(sizeof(u8) == 1 && sizeof(u16) == 2 && sizeof(u32) == 4 && sizeof(u64) == 8);

// Members of classes that are no templates are always inlined: their out-of-line copies would be weak symbols, which a kernel
// module must not contain.
#define VREGCACHE_INLINE [[gnu::always_inline]] constexpr
// Nor cloned for its callers.
#ifdef __clang__
#define VREGCACHE_OUT_OF_LINE [[gnu::noinline]]
#else
#define VREGCACHE_OUT_OF_LINE [[gnu::noinline, gnu::noclone]]
#endif
#define VREGCACHE_COLD [[gnu::cold, gnu::noinline]]

}  // namespace vregcache
