// SPDX-License-Identifier: GPL-2.0
// CR0.TS, which the guest may change without an exit, read as host-owned.
// expect-error: no matching function for call to .*::read_host_owned<\(1 << 3\)>
#include "common.h"

namespace vregcache {

using Register = GuestCr0<(1u << 3)>;

Result<u64> test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	return Register::read_host_owned<1u << 3>(cache, vmcs);
#else
	return Register::read_host_owned<1u << 0>(cache, vmcs);
#endif
}

}  // namespace vregcache
