// SPDX-License-Identifier: GPL-2.0
// KVM_RUN: enters the guest and handles its exits until userspace is needed.
#pragma once

#include "vcpu/vcpu.h"

namespace {

inline Result<long> run_vcpu(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
