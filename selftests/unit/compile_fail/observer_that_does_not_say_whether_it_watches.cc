// SPDX-License-Identifier: GPL-2.0
// An observer that would miss hits without knowing.
// expect-error: template constraint failure|does not satisfy
#include "common.h"

namespace vregcache {

struct Observer {
#ifndef VRC_MUST_NOT_COMPILE
	bool watches_reads() const { return true; }
#endif
	void hit(Reg) {}
	void miss(Reg, u64) {}
	void write_back(Reg, u64) {}
	void invalidate(RegSet) {}
	void no_register(u32) {}
};

using ThisCache = Cache<VmxLayout, NoAccess, AnyContext, Observer>;
bool test(ThisCache& cache, const Loaded& vmcs) { return cache.read<Reg::kRip>(vmcs).ok(); }

}  // namespace vregcache
