// SPDX-License-Identifier: GPL-2.0
// A read by number without a token.
// expect-error: no matching function for call to .*::read\(vregcache::Reg&?\)
#include "common.h"

namespace vregcache {

Result<u64> test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	Reg reg = Reg::kRip;
	return cache.read(reg);
#else
	Reg reg = Reg::kRip;
	return cache.read(loaded, reg);
#endif
}

}  // namespace vregcache
