// SPDX-License-Identifier: GPL-2.0
// State that userspace sets with several ioctls, in any order: KVM_RUN checks what VM-entry does not.
#pragma once

#include "vcpu/guest_state.h"

namespace {

// False: kvm_run has KVM_EXIT_FAIL_ENTRY, and the log says what to fix.
Result<bool> check_before_run(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
