// SPDX-License-Identifier: GPL-2.0
// VMCALL.
#include "vcpu/exits/exits.h"

namespace {

VRC_TRACEABLE Result<Next> handle_vmcall(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	constexpr u64 kNoSuchHypercall = static_cast<u64>(-1000);
	vcpu.gpr()[Gpr::kRax] = kNoSuchHypercall;
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
