// SPDX-License-Identifier: GPL-2.0
// The guest's registers, for a handler of an NMI or interrupt that ended the guest's run.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// While pmi_in_guest(), on the vCPU's CPU: the cache is idle, and its VMCS is the current one.
// NOLINTNEXTLINE(readability-redundant-declaration): the other one makes it a friend
PinnedVmcs begin_pmi_access(Vcpu& vcpu);

}  // namespace
