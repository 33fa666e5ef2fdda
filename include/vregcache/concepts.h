// SPDX-License-Identifier: GPL-2.0 OR MIT
// The few concepts that the library needs, so that it needs no standard library.
#pragma once

#include "types.h"

namespace vregcache {

template <class A, class B>
inline constexpr bool kIsSame = false;
template <class A>
inline constexpr bool kIsSame<A, A> = true;

template <class A, class B>
concept SameAs = kIsSame<A, B>;

// @T, or another unsigned integer of its width: uint64_t is unsigned long on some systems, and u64 is unsigned long long.
template <class V, class T>
concept AsWideAs = SameAs<V, T> || (sizeof(V) == sizeof(T) && SameAs<T, u64> && SameAs<V, unsigned long>);

}  // namespace vregcache
