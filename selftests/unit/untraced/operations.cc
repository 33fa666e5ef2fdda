// SPDX-License-Identifier: GPL-2.0
// Cache operations of code between host and guest; untraced_test.cc reads the assembly.
// With VRC_TRACED, one that it must not use.
#include <vregcache/cache.h>
#include <vregcache/vmx_layout.h>

namespace vregcache {

struct InlinedAccess {
	struct Key {};
	[[gnu::always_inline]] Result<u64> vmread(u32 encoding) const
	{
		u64 value;
		asm volatile("vmread %1, %0" : "=r"(value) : "r"(u64{encoding}));
		return value;
	}
	[[gnu::always_inline]] Result<void> vmwrite(u32, u64) const { return {}; }
	[[gnu::always_inline]] bool is_current(VmcsId) const { return true; }
};

using ThisCache = Cache<InlinedAccess, NoHooks>;

bool operations(ThisCache& cache, const LoadedVmcs<InlinedAccess>& vmcs, u64 rip)
{
	bool was_available = cache.test_and_mark_available<Reg::kRip>(vmcs, rip);
#ifdef VRC_TRACED
	Result<u32> reason = cache.read<Reg::kExitReason>(vmcs);
#else
	Result<u32> reason = cache.read_untraced<Reg::kExitReason>(vmcs);
#endif
	return was_available && reason.ok() && reason.value() != 0;
}

}  // namespace vregcache
