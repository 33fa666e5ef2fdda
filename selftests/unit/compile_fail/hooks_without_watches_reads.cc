// SPDX-License-Identifier: GPL-2.0
// Hooks that would miss hits unknowingly.
// expect-error: template constraint failure|does not satisfy
#include "common.h"

namespace vregcache {

struct Hooks : NoHooks {
#ifdef VRC_MUST_NOT_COMPILE
	bool watches_reads() const = delete;
#else
	bool watches_reads() const { return true; }
#endif
};

using ThisCache = Cache<NoAccess, Hooks>;
bool test(ThisCache& cache, const Loaded& vmcs) { return cache.read<Reg::kRip>(vmcs).ok(); }

}  // namespace vregcache
