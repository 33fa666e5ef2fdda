// SPDX-License-Identifier: GPL-2.0
// One VM-entry by somebody who has not looked what else the task has to do, with interrupts off.
// expect-error: invalid initialization of reference.*EntryScope
#include <vcpu/run.h>

namespace {

[[maybe_unused]] Result<void> test(Vcpu& vcpu, [[maybe_unused]] const PinnedVmcs& pinned,
				   [[maybe_unused]] EntryScope& scope, Exit& exit)
{
#ifdef VRC_MUST_NOT_COMPILE
	return enter_once(vcpu, pinned, exit);
#else
	return enter_once(vcpu, scope, exit);
#endif
}

}  // namespace
