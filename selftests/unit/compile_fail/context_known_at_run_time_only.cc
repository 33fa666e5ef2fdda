// SPDX-License-Identifier: GPL-2.0
// A context policy that does not tell the compiler whether it checks quick reads.
// expect-error: template constraint failure|does not satisfy
#include "common.h"

namespace vregcache {

struct Context {
	void check(Operation) const {}
#ifdef VRC_MUST_NOT_COMPILE
	bool kChecksEveryRead = false;
#else
	static constexpr bool kChecksEveryRead = false;
#endif
};

using ThisCache = Cache<VmxLayout, NoAccess, Context, NoObserver>;
bool test(ThisCache& cache, const Loaded& vmcs) { return cache.read<Reg::kRip>(vmcs).ok(); }

}  // namespace vregcache
