// SPDX-License-Identifier: GPL-2.0
// State that VM-entry checks tie together, made consistent in one place, just before the registers are written back.
#pragma once

#include "vcpu/injection.h"

namespace {

// Most exits change no tied register and leave no event pending: then this only checks that.
[[gnu::always_inline]] inline Result<void> reconcile(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
