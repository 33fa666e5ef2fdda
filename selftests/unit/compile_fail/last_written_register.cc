// SPDX-License-Identifier: GPL-2.0
// A register's field is the cache's: a last-written value of it would be a second copy, unaware of the first.
// expect-error: no matching function for call to .*::write\(vregcache::Field<
#include <vregcache/last_written.h>

#include "common.h"

namespace vregcache {

Result<void> test(const Loaded& vmcs)
{
#ifdef VRC_MUST_NOT_COMPILE
	LastWritten<kGuestRip> field;
#else
	LastWritten<kTscOffset> field;
#endif
	return field.set(vmcs, u64{1});
}

}  // namespace vregcache
