// SPDX-License-Identifier: GPL-2.0
// The cache as the module uses it.
#include <vregcache/cache.h>

#include "../../src/instrument/hooks.h"

// What the hooks declare.
// NOLINTBEGIN(bugprone-suspicious-include)
#include "../../src/instrument/counters.cc"
#include "../../src/instrument/verification.cc"
#include "../../src/vmx/exit_reason.cc"
#include "../../src/vmx/explain/field_name.cc"
#include "../../src/vmx/raw_vmx.cc"
// NOLINTEND(bugprone-suspicious-include)

using RegisterCache = vregcache::Cache<RawVmx, VcpuHooks>;
using vregcache::Reg;

namespace {

// The caller's handling of an error is not part of the cache's code, but the check for one is.
template <Reg kReg>
[[gnu::always_inline]] inline u64 read(RegisterCache& cache, const LoadedVmcs& vmcs)
{
	return cache.read<kReg>(vmcs).value_or(~u64{0});
}

constexpr Reg kCsBase = vregcache::segment_register(vregcache::Segment::kCs, vregcache::SegmentPart::kBase);

}  // namespace

extern "C" {
u64 codegen_cache_read_rip(RegisterCache& cache, const LoadedVmcs& vmcs);
u64 codegen_cache_read_rflags(RegisterCache& cache, const LoadedVmcs& vmcs);
u64 codegen_cache_read_cs_base(RegisterCache& cache, const LoadedVmcs& vmcs);
}

u64 codegen_cache_read_rip(RegisterCache& cache, const LoadedVmcs& vmcs) { return read<Reg::kRip>(cache, vmcs); }

u64 codegen_cache_read_rflags(RegisterCache& cache, const LoadedVmcs& vmcs) { return read<Reg::kRflags>(cache, vmcs); }

u64 codegen_cache_read_cs_base(RegisterCache& cache, const LoadedVmcs& vmcs) { return read<kCsBase>(cache, vmcs); }
