// SPDX-License-Identifier: GPL-2.0
// RDMSR and WRMSR.
#include "vcpu/exits/exits.h"
#include "vcpu/msr.h"

namespace {

VRC_TRACEABLE Result<Next> handle_rdmsr(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	MsrValue read = VREGCACHE_TRY(read_msr(vcpu, vmcs, MsrUser::kGuest, static_cast<u32>(vcpu.gpr()[Gpr::kRcx])));
	if (!read.known)
		return handle_general_protection(vcpu, vmcs);
	write_edx_eax(vcpu.gpr(), read.value);
	return resume_after_instruction(vcpu, vmcs);
}

VRC_TRACEABLE Result<Next> handle_wrmsr(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 value = read_edx_eax(vcpu.gpr());
	if (!VREGCACHE_TRY(write_msr(vcpu, vmcs, MsrUser::kGuest, static_cast<u32>(vcpu.gpr()[Gpr::kRcx]), value)))
		return handle_general_protection(vcpu, vmcs);
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
