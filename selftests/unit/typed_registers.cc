// SPDX-License-Identifier: GPL-2.0
#include "typed_registers.h"

#include <type_traits>
#include <utility>

namespace vregcache::test {
namespace {

template <Reg kReg>
Result<u64> typed_read(TestCache& cache, const Loaded& loaded)
{
	auto value = cache.read<kReg>(loaded);
	static_assert(std::is_same_v<decltype(value), Result<TestCache::Value<kReg>>>);
	if (!value.ok())
		return value.error();
	return u64{value.value()};
}

template <Reg kReg>
void typed_write(TestCache& cache, const Loaded& loaded, u64 value)
{
	cache.write<kReg>(loaded, static_cast<TestCache::Value<kReg>>(value));
}

template <Reg kReg>
TypedRegister typed_register()
{
	using Value = TestCache::Value<kReg>;
	static_assert(std::is_unsigned_v<Value>);
	TypedRegister typed = {kReg, 8 * sizeof(Value), typed_read<kReg>, nullptr};
	constexpr bool kCanBeWritten = requires(TestCache& cache, const Loaded& loaded, Value value) {
		cache.write<kReg>(loaded, value);
	};
	if constexpr (kCanBeWritten)
		typed.write = typed_write<kReg>;
	return typed;
}

std::vector<TypedRegister> make_table()
{
	return []<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
		return std::vector<TypedRegister>{typed_register<kSdmRegisters[kIndex].reg>()...};
	}(std::make_index_sequence<kSdmRegisters.size()>());
}

std::vector<TypedRegister> without_read_only(std::span<const TypedRegister> all)
{
	std::vector<TypedRegister> writable;
	for (const TypedRegister& typed : all) {
		if (typed.write)
			writable.push_back(typed);
	}
	return writable;
}

}  // namespace

std::span<const TypedRegister> all_typed_registers()
{
	static const std::vector<TypedRegister> table = make_table();
	return table;
}

std::span<const TypedRegister> writable_typed_registers()
{
	static const std::vector<TypedRegister> table = without_read_only(all_typed_registers());
	return table;
}

}  // namespace vregcache::test
