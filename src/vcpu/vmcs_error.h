// SPDX-License-Identifier: GPL-2.0
// Failed accesses to a VMCS.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// Logs the failure, which is never the client's fault, and returns -EIO.
inline long report_vmcs_error(const Vcpu& vcpu, Error error);

}  // namespace
