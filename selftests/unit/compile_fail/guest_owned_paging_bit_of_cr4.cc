// SPDX-License-Identifier: GPL-2.0
// A guest-owned CR4.PAE, which decides the paging mode.
// expect-error: static assertion failed: the host must follow this bit
#include "common.h"

namespace vregcache {

#ifdef VRC_MUST_NOT_COMPILE
using Register = GuestCr4<1u << 5>;
#else
using Register = GuestCr4<1u << 7>;
#endif

Result<u64> test(TestCache& cache, const Loaded& vmcs) { return Register::read(cache, vmcs, {}); }

}  // namespace vregcache
