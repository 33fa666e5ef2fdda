// SPDX-License-Identifier: GPL-2.0
// XSETBV.
#include "vcpu/control_register.h"
#include "vcpu/exits/exits.h"

namespace {

inline bool is_valid_xcr0(const CpuModel& model, u64 value)
{
	if ((value & ~model.xcr0) || !(value & xcr0::kX87))
		return false;
	if ((value & xcr0::kAvx) && !(value & xcr0::kSse))
		return false;
	u64 avx512 = value & xcr0::kAvx512;
	return !avx512 || (avx512 == xcr0::kAvx512 && (value & xcr0::kAvx));
}

VRC_TRACEABLE Result<Next> handle_xsetbv(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 value = read_edx_eax(vcpu.gpr());
	if (static_cast<u32>(vcpu.gpr()[Gpr::kRcx]) != 0 || !is_valid_xcr0(vcpu.model, value))
		return handle_general_protection(vcpu, vmcs);
	vcpu.entry.xcr0 = value;
	follow_cr4(vcpu, VREGCACHE_TRY(host_owned_cr4<kCr4Followed>(vcpu, vmcs)));
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
