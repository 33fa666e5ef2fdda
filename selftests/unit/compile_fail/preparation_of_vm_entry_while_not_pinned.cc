// SPDX-License-Identifier: GPL-2.0
// What comes just before VM-entry where interrupts may come.
// expect-error: invalid initialization of reference.*PinnedVmcs
#include <vcpu/run.h>

namespace {

[[maybe_unused]] Result<void> test(Vcpu& vcpu, [[maybe_unused]] const LoadedVmcs& loaded,
				   [[maybe_unused]] const PinnedVmcs& pinned)
{
#ifdef VRC_MUST_NOT_COMPILE
	return prepare_entry(vcpu, loaded, 0);
#else
	return prepare_entry(vcpu, pinned, 0);
#endif
}

}  // namespace
