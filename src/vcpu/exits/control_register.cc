// SPDX-License-Identifier: GPL-2.0
// MOV to and from control registers, CLTS and LMSW.
#include "vcpu/control_register.h"
#include "vcpu/exits/exits.h"
#include "vcpu/instruction.h"

namespace {

// The exit qualification of a control-register access (SDM Vol. 3C, table 28-3).
struct ControlRegisterQualification {
	enum class Type : u8 { kMovTo, kMovFrom, kClts, kLmsw };

	u64 word;

	u8 number() const { return word & 0xf; }
	Type type() const { return static_cast<Type>(word >> 4 & 3); }
	Gpr gpr() const { return static_cast<Gpr>(word >> 8 & 0xf); }
	u16 lmsw_source() const { return static_cast<u16>(word >> 16); }
};

// MOV to CR8.  If it lowers the task priority, the run ends: userspace may now have an interrupt to inject.
VREGCACHE_OUT_OF_LINE Result<Next> load_cr8(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	if (value > 15)
		return handle_general_protection(vcpu, vmcs);
	const bool lower = value < vcpu.cr8;
	vcpu.cr8 = value;
	vcpu.run->cr8 = value;
	if (!lower)
		return resume_after_instruction(vcpu, vmcs);
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	vcpu.run->exit_reason = KVM_EXIT_SET_TPR;
	return Next::kUserspace;
}

VRC_TRACEABLE Result<Next> handle_control_register(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using Type = ControlRegisterQualification::Type;
	ControlRegisterQualification access{VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs))};
	bool allowed = true;
	switch (access.type()) {
	case Type::kMovTo: {
		u64 value = VREGCACHE_TRY(read_gpr(vcpu, vmcs, access.gpr()));
		switch (access.number()) {
		case 0:
			allowed = VREGCACHE_TRY(load_cr0(vcpu, vmcs, value));
			break;
		case 3:
			allowed = VREGCACHE_TRY(load_cr3(vcpu, vmcs, value));
			break;
		case 4:
			allowed = VREGCACHE_TRY(load_cr4(vcpu, vmcs, value));
			break;
		default:
			return load_cr8(vcpu, vmcs, value);
		}
		break;
	}
	case Type::kMovFrom:
		// Only CR8 exits: CR0 and CR4 are read from their read shadows, and CR3 is the guest's.
		VREGCACHE_TRY(write_gpr(vcpu, vmcs, access.gpr(), vcpu.cr8));
		break;
	case Type::kClts: {
		u64 value = VREGCACHE_TRY(guest_cr0(vcpu, vmcs));
		allowed = VREGCACHE_TRY(load_cr0(vcpu, vmcs, value & ~cr0::kTs));
		break;
	}
	case Type::kLmsw: {
		// LMSW loads bits 3:0, and cannot clear PE.
		u64 value = VREGCACHE_TRY(guest_cr0(vcpu, vmcs));
		u64 source = access.lmsw_source() & 0xf;
		allowed = VREGCACHE_TRY(load_cr0(vcpu, vmcs, (value & ~u64{0xe}) | source));
		break;
	}
	}
	return allowed ? resume_after_instruction(vcpu, vmcs) : handle_general_protection(vcpu, vmcs);
}

}  // namespace
