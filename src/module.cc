// SPDX-License-Identifier: GPL-2.0
// The module's one C++ translation unit.  Everything it includes has internal linkage; what the kernel side calls is
// extern "C" and declared in linux/host.h.
#include "vcpu/guest_sample.h"
#include "test_hooks/machine_hooks.cc"
#include "kvm_api/dispatch.h"
