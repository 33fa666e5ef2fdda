// SPDX-License-Identifier: GPL-2.0
// MOV to and from debug registers.
#include "vcpu/debug_register.h"
#include "vcpu/exception.h"
#include "vcpu/exits/exits.h"

namespace {

VRC_TRACEABLE Result<Next> handle_mov_dr(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 qualification = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs));
	u32 number = qualification & 7;
	bool from = qualification & 1u << 4;
	Gpr gpr = static_cast<Gpr>(qualification >> 8 & 0xf);

	// The exit comes before the instruction's own checks (SDM Vol. 3C, 26.1.3), so they are made here.
	// DR4 and DR5 are aliases of DR6 and DR7 unless debug extensions are on.
	if (number == 4 || number == 5) {
		if (VREGCACHE_TRY(guest_cr4(vcpu, vmcs)) & cr4::kDe)
			return handle_invalid_opcode(vcpu, vmcs);
		number += 2;
	}
	if (VREGCACHE_TRY(privilege_level(vcpu, vmcs)) != 0)
		return handle_general_protection(vcpu, vmcs);
	u64 dr7 = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	if (dr7 & dr7::kGeneralDetect) {
		// The only debug exception that is a fault but no breakpoint: it pushes RF set, as faults do.
		VREGCACHE_TRY(set_resume_flag(vcpu, vmcs));
		VREGCACHE_TRY(raise_debug(vcpu, vmcs, dr6::kAccessDetected));
		return Next::kResume;
	}
	if (from) {
		u64 value = number < 4 ? vcpu.entry_switch.dr[number] : number == 6 ? vcpu.entry_switch.dr6 : dr7;
		VREGCACHE_TRY(write_gpr(vcpu, vmcs, gpr, value));
		return resume_after_instruction(vcpu, vmcs);
	}
	u64 value = VREGCACHE_TRY(read_gpr(vcpu, vmcs, gpr));
	if (number < 4) {
		// Any value is accepted: an address that is not canonical never matches (SDM Vol. 3B, 18.2.6).
		vcpu.entry_switch.dr[number] = value;
	} else if (value >> 32) {
		return handle_general_protection(vcpu, vmcs);
	} else if (number == 6) {
		vcpu.entry_switch.dr6 = dr6_from(value);
	} else {
		set_dr7(vcpu, vmcs, value);
	}
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
