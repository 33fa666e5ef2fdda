// SPDX-License-Identifier: GPL-2.0
// The module's one C++ translation unit.  Everything it includes has internal linkage; what the kernel side calls is
// extern "C" and declared in glue/kernel.h.
#include "vcpu/pmi.h"
#include "vcpu/test_access.h"
#include "vcpu/vcpu_file.h"
