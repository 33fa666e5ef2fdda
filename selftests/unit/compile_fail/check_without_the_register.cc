// SPDX-License-Identifier: GPL-2.0
// A context check that could not say which register was accessed.
// expect-error: template constraint failure|does not satisfy
#include "common.h"

namespace vregcache {

struct Hooks : NoHooks {
#ifdef VRC_MUST_NOT_COMPILE
	void check(Operation) const {}
#else
	void check(Operation, Reg) const {}
#endif
};

using ThisCache = Cache<NoAccess, Hooks>;
bool test(ThisCache& cache, const Loaded& vmcs) { return cache.read<Reg::kRip>(vmcs).ok(); }

}  // namespace vregcache
