// SPDX-License-Identifier: GPL-2.0
// An accessor that cannot say which VMCS is current.
// expect-error: template constraint failure|does not satisfy
#include "common.h"

namespace vregcache {

struct Access {
	struct Key {};
	Result<u64> vmread(u32) const { return Error::kFault; }
	Result<void> vmwrite(u32, u64) const { return Error::kFault; }
#ifndef VRC_MUST_NOT_COMPILE
	bool is_current(VmcsId) const { return true; }
#endif
};

using ThisCache = Cache<Access, NoHooks>;
bool test(ThisCache& cache, const LoadedVmcs<Access>& vmcs) { return cache.read<Reg::kRip>(vmcs).ok(); }

}  // namespace vregcache
