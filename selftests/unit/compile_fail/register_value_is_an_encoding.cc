// SPDX-License-Identifier: GPL-2.0
// The encoding of a field instead of a register's value.
// expect-error: no matching function for call to .*::write<vregcache::Reg::kRip>
#include "common.h"

namespace vregcache {

void test(TestCache& cache, const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	cache.write<Reg::kRip>(vmcs, kGuestRsp);
#else
	cache.write<Reg::kRip>(vmcs, u64{kGuestRsp.kEncoding});
#endif
}

}  // namespace vregcache
