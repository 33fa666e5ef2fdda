// SPDX-License-Identifier: GPL-2.0
// VMX controls: those that the module needs, those that it uses if available, and those that the CPU allows (SDM Vol. 3C, 25.6
// to 25.8; Vol. 3D, Appendix A).
#pragma once

#include "vmx/control_bits.h"

namespace {

struct VmxControls {
	u32 pin_based = 0;
	u32 primary = 0;
	u32 secondary = 0;
	u32 vm_exit = 0;
	u32 vm_entry = 0;
};

// Returns false, and logs it, if a required control is absent.
inline bool choose_all_controls(bool true_msrs, bool rdtscp, VmxControls& controls);

}  // namespace
