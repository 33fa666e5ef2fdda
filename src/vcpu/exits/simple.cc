// SPDX-License-Identifier: GPL-2.0
// Instructions that change nothing that the module models, and those that the guest's CPU does not have.
#include "vcpu/exception.h"
#include "vcpu/exits/exits.h"
#include "vcpu/instruction.h"

namespace {

inline Result<Next> resume_after_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

VRC_TRACEABLE Result<Next> handle_cache_flush(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return resume_after_instruction(vcpu, vmcs);
}

VRC_TRACEABLE Result<Next> handle_invalid_opcode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(raise_invalid_opcode(vcpu, vmcs));
	return Next::kResume;
}

VRC_TRACEABLE Result<Next> handle_general_protection(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(raise_general_protection(vcpu, vmcs));
	return Next::kResume;
}

VRC_TRACEABLE Result<Next> handle_vmcall(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	constexpr u64 kNoSuchHypercall = static_cast<u64>(-1000);
	vcpu.gpr()[Gpr::kRax] = kNoSuchHypercall;
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
