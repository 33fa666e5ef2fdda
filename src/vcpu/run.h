// SPDX-License-Identifier: GPL-2.0
// KVM_RUN: enter the guest, handle what it exits for, and so on until userspace is needed.
#pragma once

#include "vcpu/vcpu_load.h"

namespace {

inline Result<long> run_vcpu(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
