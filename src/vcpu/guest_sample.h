// SPDX-License-Identifier: GPL-2.0
// The guest's registers for a handler of an NMI or interrupt that the guest has been left for.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// While pmi_in_guest(), on the vCPU's CPU: the cache is at rest, and its VMCS is the current one.
PinnedVmcs begin_pmi_access(Vcpu& vcpu);

}  // namespace
