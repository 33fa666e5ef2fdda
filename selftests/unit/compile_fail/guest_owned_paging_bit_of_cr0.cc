// SPDX-License-Identifier: GPL-2.0
// A guest-owned CR0.PG, which enables paging.
// expect-error: static assertion failed: the host must follow this bit
#include "common.h"

namespace vregcache {

#ifdef VRC_MUST_NOT_COMPILE
using Register = GuestCr0<1u << 31>;
#else
using Register = GuestCr0<1u << 3>;
#endif

Result<u64> test(TestCache& cache, const Loaded& vmcs) { return Register::read(cache, vmcs, {}); }

}  // namespace vregcache
