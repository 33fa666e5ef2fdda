// SPDX-License-Identifier: GPL-2.0
// How the handling of an exit ends.
#include "vcpu/exception.h"
#include "vcpu/exits/exit_result.h"
#include "vcpu/instruction.h"

namespace {

inline Result<Next> resume_after_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
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

inline Next report_emulation_failure(Vcpu& vcpu, ExitReason reason, u64 qualification, u64 guest_physical)
{
	vcpu.run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	vcpu.run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	vcpu.run->internal.ndata = 4;
	vcpu.run->internal.data[0] = 0;  // no flags: no instruction bytes
	vcpu.run->internal.data[1] = static_cast<u64>(reason);
	vcpu.run->internal.data[2] = qualification;
	vcpu.run->internal.data[3] = guest_physical;
	return Next::kUserspace;
}

VREGCACHE_COLD Result<Next> report_emulation_failure(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason)
{
	const u64 qualification = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs));
	const u64 guest_physical = VREGCACHE_TRY(vcpu.cache.read<Reg::kGuestPhysicalAddress>(vmcs));
	return report_emulation_failure(vcpu, reason, qualification, guest_physical);
}

}  // namespace
