// SPDX-License-Identifier: GPL-2.0
// CPUID.
#include "vcpu/cpuid.h"
#include "vcpu/exits/exits.h"
#include "vcpu/instruction.h"

namespace {

VRC_TRACEABLE Result<Next> handle_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	auto& gpr = vcpu.gpr();
	CpuidResult r = VREGCACHE_TRY(
		execute_cpuid(vcpu, vmcs, static_cast<u32>(gpr[Gpr::kRax]), static_cast<u32>(gpr[Gpr::kRcx])));
	gpr[Gpr::kRax] = r.eax;
	gpr[Gpr::kRbx] = r.ebx;
	gpr[Gpr::kRcx] = r.ecx;
	gpr[Gpr::kRdx] = r.edx;
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

}  // namespace
