// SPDX-License-Identifier: GPL-2.0
// XSETBV.
#include "vcpu/control_register.h"
#include "vcpu/exits/exits.h"

namespace {

VRC_TRACEABLE Result<Next> handle_xsetbv(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 value = read_edx_eax(vcpu.gpr());
	if (static_cast<u32>(vcpu.gpr()[Gpr::kRcx]) != 0 || !is_valid_xcr0(vcpu.model, value))
		return handle_general_protection(vcpu, vmcs);
	VREGCACHE_TRY(set_xcr0(vcpu, vmcs, value));
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
