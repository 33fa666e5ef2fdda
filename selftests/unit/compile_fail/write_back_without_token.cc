// SPDX-License-Identifier: GPL-2.0
// write_back() without a token.
// expect-error: no matching function for call to .*::write_back(<>)?\(\)
#include "common.h"

namespace vregcache {

Result<void> test(TestCache& cache, [[maybe_unused]] const Pinned& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.write_back();
#else
	return cache.write_back(pinned);
#endif
}

}  // namespace vregcache
