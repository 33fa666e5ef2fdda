// SPDX-License-Identifier: GPL-2.0
// KVM_RUN: enters the guest and handles its exits until userspace is needed.
#pragma once

#include "vcpu/vmcs_window.h"

namespace {

// @window: open.  If it is closed afterwards, window.error() is the result.
inline Result<long> run_vcpu(Vcpu& vcpu, WindowHandle window);

}  // namespace
