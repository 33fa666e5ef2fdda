// SPDX-License-Identifier: GPL-2.0
// The cost of parts of the library on this machine, with an array as the VMCS.  Times compare versions on one machine.
#include <benchmark/benchmark.h>
#include <vregcache/cache.h>
#include <vregcache/vmx_layout.h>

#include <array>

namespace {

using vregcache::Reg;
using vregcache::RegSet;
using vregcache::u32;
using vregcache::u64;
using vregcache::VmcsId;

constexpr VmcsId kVmcs{0x1000};
constexpr u32 kEncodings = 0x8000;

struct ArrayVmcs {
	struct Key {};
	u64* fields;

	vregcache::Result<u64> vmread(u32 encoding) const { return fields[encoding]; }
	vregcache::Result<void> vmwrite(u32 encoding, u64 value) const
	{
		fields[encoding] = value;
		return {};
	}
	bool is_current(VmcsId vmcs) const { return vmcs == kVmcs; }
};

using Cache = vregcache::Cache<ArrayVmcs>;
using Pinned = vregcache::PinnedVmcs<ArrayVmcs>;

struct Machine {
	std::array<u64, kEncodings> fields{};
	Pinned vmcs{ArrayVmcs{fields.data()}, ArrayVmcs::Key()};
	Cache cache;

	Machine()
	{
		if (!cache.bind(vmcs, kVmcs).ok())
			std::abort();
	}
};

void hit(benchmark::State& state)
{
	Machine m;
	if (!m.cache.read<Reg::kRip>(m.vmcs).ok())
		state.SkipWithError("the first read failed");
	for (auto _ : state) {
		benchmark::DoNotOptimize(&m.cache);
		benchmark::ClobberMemory();
		benchmark::DoNotOptimize(m.cache.read<Reg::kRip>(m.vmcs).value());
	}
}
BENCHMARK(hit);

void vm_exit(benchmark::State& state)
{
	Machine m;
	for (auto _ : state) {
		benchmark::DoNotOptimize(&m.cache);
		benchmark::DoNotOptimize(m.cache.vm_exit(m.vmcs).ok());
	}
}
BENCHMARK(vm_exit);

// Includes the VM-exit that invalidates the register.
void vm_exit_and_miss(benchmark::State& state)
{
	Machine m;
	for (auto _ : state) {
		benchmark::DoNotOptimize(&m.cache);
		benchmark::DoNotOptimize(m.cache.vm_exit(m.vmcs).ok());
		benchmark::DoNotOptimize(m.cache.read<Reg::kRip>(m.vmcs).value());
	}
}
BENCHMARK(vm_exit_and_miss);

// Sets this many registers to new values, then writes them back.
void write_and_write_back(benchmark::State& state)
{
	Machine m;
	u64 value = 0;
	const int count = static_cast<int>(state.range(0));
	for (auto _ : state) {
		int left = count;
		value++;
		for (u32 number = 0; left && number < index(Reg::kEnd); number++) {
			if (m.cache.write(m.vmcs, static_cast<Reg>(number), value & 0xffff).ok())
				left--;
		}
		if (!m.cache.write_back(m.vmcs).ok())
			state.SkipWithError("the write-back failed");
	}
}
BENCHMARK(write_and_write_back)->Arg(1)->Arg(4)->Arg(16)->Arg(53);

void every_register_of_a_set(benchmark::State& state)
{
	u64 bits = RegSet::all().bits();
	for (auto _ : state) {
		benchmark::DoNotOptimize(bits);
		u64 sum = 0;
		for (RegSet set(bits); !set.empty();) {
			Reg reg = set.first();
			sum += index(reg);
			set -= reg;
		}
		benchmark::DoNotOptimize(sum);
	}
}
BENCHMARK(every_register_of_a_set);

}  // namespace

BENCHMARK_MAIN();
