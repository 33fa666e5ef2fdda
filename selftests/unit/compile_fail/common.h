// SPDX-License-Identifier: GPL-2.0
// Included by each file here.  A file is compiled twice: unchanged, which must succeed, and with
// VRC_MUST_NOT_COMPILE, which must fail with a diagnostic that matches the file's "expect-error:" line.
#pragma once

#include <vregcache/cache.h>
#include <vregcache/general_register.h>
#include <vregcache/guest_control_register.h>
#include <vregcache/segment.h>
#include <vregcache/vmx_layout.h>

namespace vregcache {

struct NoAccess {
	struct Key {};
	Result<u64> vmread(u32) const { return Error::kFault; }
	Result<void> vmwrite(u32, u64) const { return Error::kFault; }
	bool is_current(VmcsId) const { return false; }
};

using TestCache = Cache<NoAccess, NoHooks>;
using Loaded = LoadedVmcs<NoAccess>;
using Pinned = PinnedVmcs<NoAccess>;

}  // namespace vregcache
