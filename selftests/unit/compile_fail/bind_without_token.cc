// SPDX-License-Identifier: GPL-2.0
// A cache that is bound by somebody who has not shown that the VMCS is loaded.
// expect-error: no matching function for call to .*::bind\(vregcache::VmcsId\)
#include "common.h"

namespace vregcache {

Result<void> test(TestCache& cache, [[maybe_unused]] const Loaded& loaded)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.bind(VmcsId{1});
#else
	return cache.bind(loaded, VmcsId{1});
#endif
}

}  // namespace vregcache
