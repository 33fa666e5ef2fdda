// SPDX-License-Identifier: GPL-2.0
// The operations that take their register at compile time, instantiated for every register in a table, so that a test
// can loop over all of them.
#pragma once

#include <span>

#include "cache_fixture.h"

namespace vregcache::test {

struct TypedRegister {
	Reg reg;
	u32 value_bits;  // of the type that read and write use
	Result<u64> (*read)(TestCache&, const Loaded&);
	// Truncates the value to its type.  Null if the register cannot be written.
	void (*write)(TestCache&, const Loaded&, u64 value);
};

std::span<const TypedRegister> all_typed_registers();
std::span<const TypedRegister> writable_typed_registers();

}  // namespace vregcache::test
