// SPDX-License-Identifier: GPL-2.0
// Without a cache: every register is read at each VM-exit and written at each VM-entry, and an access is a load or a
// store.
#include <vregcache/result.h>
#include <vregcache/vmx_layout.h>

#include "../../src/vmx/instructions.h"

using vregcache::index;
using vregcache::Reg;
using vregcache::VmxLayout;

namespace {

struct EagerRegisters {
	u64 value[index(Reg::kEnd)];
};

template <u8 kNumber = 0>
[[gnu::always_inline]] inline bool load_from(EagerRegisters& registers)
{
	constexpr Reg kReg = static_cast<Reg>(kNumber);
	if constexpr (vregcache::is_register(kReg)) {
		Result<u64> value = vmread(VmxLayout::encoding(kReg));
		if (!value.ok())
			return false;
		registers.value[kNumber] = value.value();
	}
	if constexpr (kNumber + 1 < index(Reg::kEnd))
		return load_from<kNumber + 1>(registers);
	return true;
}

template <u8 kNumber = 0>
[[gnu::always_inline]] inline bool store_from(EagerRegisters& registers)
{
	constexpr Reg kReg = static_cast<Reg>(kNumber);
	if constexpr (vregcache::is_register(kReg)) {
		if constexpr (VmxLayout::writable(kReg)) {
			if (!vmwrite(VmxLayout::encoding(kReg), registers.value[kNumber]).ok())
				return false;
		}
	}
	if constexpr (kNumber + 1 < index(Reg::kEnd))
		return store_from<kNumber + 1>(registers);
	return true;
}

}  // namespace

extern "C" {
u64 codegen_eager_read_rip(EagerRegisters& registers);
bool codegen_eager_vm_exit(EagerRegisters& registers);
bool codegen_eager_vm_entry(EagerRegisters& registers);
}

u64 codegen_eager_read_rip(EagerRegisters& registers) { return registers.value[index(Reg::kRip)]; }

bool codegen_eager_vm_exit(EagerRegisters& registers) { return load_from(registers); }

bool codegen_eager_vm_entry(EagerRegisters& registers) { return store_from(registers); }
