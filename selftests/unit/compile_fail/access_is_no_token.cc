// SPDX-License-Identifier: GPL-2.0
// What gives access to fields is no token: a token is made on purpose.
// expect-error: no matching function|cannot convert|invalid initialization of reference
#include "common.h"

namespace vregcache {

Result<void> test(TestCache& cache, NoAccess access)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cache.bind(access, VmcsId{1});
#else
	return cache.bind(Loaded(access), VmcsId{1});
#endif
}

}  // namespace vregcache
