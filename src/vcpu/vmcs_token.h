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

	// The vCPU's token; LoadedVcpu and EntryScope hand it out.
	friend class VmcsToken;
	// It has just loaded the VMCS.
	friend int load_vmcs(Vcpu& vcpu);
	// Interrupts are off since EntryScope.
	friend VmExit enter_guest(Vcpu& vcpu, MayEnter);
	// A handler of an interrupt or NMI that ended the guest's run.
	friend PinnedVmcs begin_pmi_access(Vcpu& vcpu);
	// For tests only.
	friend class UncheckedTokens;
};

// The vCPU's token.  Functions take it by reference, so it is kept here and not on the stack.
class VmcsToken {
 public:
	explicit VmcsToken(RawVmx access) : vmcs_(access, VmcsKey()) {}

 private:
	friend class LoadedVcpu;
	friend class EntryScope;

	PinnedVmcs vmcs_;
};

}  // namespace
