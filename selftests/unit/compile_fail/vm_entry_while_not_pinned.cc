// SPDX-License-Identifier: GPL-2.0
// The module's own VM-entry where interrupts may come.
// expect-error: could not convert .*LoadedVmcs.* to .*MayEnter
#include <vcpu/run.h>

namespace {

[[maybe_unused]] u32 test(Vcpu& vcpu, [[maybe_unused]] const LoadedVmcs& loaded,
			  [[maybe_unused]] const PinnedVmcs& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cross(vcpu, loaded);
#else
	return cross(vcpu, pinned);
#endif
}

}  // namespace
