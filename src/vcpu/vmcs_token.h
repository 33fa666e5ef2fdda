// SPDX-License-Identifier: GPL-2.0
// Which code can make a token for a VMCS.
#pragma once

#include "vmx/raw_vmx.h"

namespace {

struct Vcpu;
struct MayEnter;
class VmExit;

class VmcsKey {
	VmcsKey() = default;

	// The vCPU's token; windows hand it out.
	friend class VmcsToken;
	// It opens a window.
	friend void loaded_vmcs(Vcpu& vcpu, unsigned from, bool moved);
	// In an open window.
	friend VmExit enter_guest(Vcpu& vcpu, MayEnter);
	// For tests only.
	friend class UncheckedTokens;
};

// The vCPU's token.  Functions take it by reference, so it is kept here and not on the stack.
class VmcsToken {
 public:
	explicit VmcsToken(RawVmx access) : vmcs_(access, VmcsKey()) {}

 private:
	friend class WindowHandle;
	friend class PmiWindow;

	PinnedVmcs vmcs_;
};

}  // namespace
