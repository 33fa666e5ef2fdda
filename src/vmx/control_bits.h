// SPDX-License-Identifier: GPL-2.0
// Bits of the VMX controls that the module uses (SDM Vol. 3C, 25.6 to 25.8).
#pragma once

#include "vmx/types.h"

namespace {

namespace pin {
constexpr u32 kExternalInterrupt = 1u << 0, kNmi = 1u << 3, kVirtualNmis = 1u << 5;
}

namespace primary {
constexpr u32 kInterruptWindow = 1u << 2, kTscOffsetting = 1u << 3, kHlt = 1u << 7, kMwait = 1u << 10,
	      kRdpmc = 1u << 11, kCr3Load = 1u << 15, kCr8Load = 1u << 19, kCr8Store = 1u << 20, kNmiWindow = 1u << 22,
	      kMovDr = 1u << 23, kUnconditionalIo = 1u << 24, kMonitor = 1u << 29, kSecondary = 1u << 31;
}

namespace secondary {
constexpr u32 kEpt = 1u << 1, kRdtscp = 1u << 3, kWbinvd = 1u << 6, kUnrestrictedGuest = 1u << 7,
	      kRdrandExiting = 1u << 11, kEnclsExiting = 1u << 15, kRdseedExiting = 1u << 16;
}

namespace exit_control {
constexpr u32 kSaveDebugControls = 1u << 2, kHostAddressSpaceSize = 1u << 9, kLoadPat = 1u << 19, kSaveEfer = 1u << 20,
	      kLoadEfer = 1u << 21;
}

namespace entry_control {
constexpr u32 kLoadDebugControls = 1u << 2, kIa32eMode = 1u << 9, kLoadPat = 1u << 14, kLoadEfer = 1u << 15;
}

}  // namespace
