// SPDX-License-Identifier: GPL-2.0
// The module's own VM-entry without a token.
// expect-error: too few arguments to function .*cross\(
#include <vcpu/run.h>

namespace {

[[maybe_unused]] u32 test(Vcpu& vcpu, [[maybe_unused]] const LoadedVmcs& loaded,
			  [[maybe_unused]] const PinnedVmcs& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	return cross(vcpu);
#else
	return cross(vcpu, pinned);
#endif
}

}  // namespace
