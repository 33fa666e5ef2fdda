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
	vcpu.entry_switch.xcr0 = value;
	follow_cr4(vcpu, VREGCACHE_TRY(host_owned_cr4<kCr4Followed>(vcpu, vmcs)));
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
