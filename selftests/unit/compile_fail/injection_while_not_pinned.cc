// SPDX-License-Identifier: GPL-2.0
// An event that is put into the VMCS where interrupts may come.
// expect-error: cannot convert .*LoadedVmcs.* to .*PinnedVmcs
#include <vcpu/run.h>

namespace {

[[maybe_unused]] Result<void> test(Vcpu& vcpu, [[maybe_unused]] const LoadedVmcs& loaded,
				   [[maybe_unused]] const PinnedVmcs& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	return vcpu.event.inject(loaded, vcpu.controls, true);
#else
	return vcpu.event.inject(pinned, vcpu.controls, true);
#endif
}

}  // namespace
