// SPDX-License-Identifier: GPL-2.0
// KVM_GET_DEBUGREGS and KVM_SET_DEBUGREGS.
#include "kvm_api/ioctls.h"
#include "vcpu/debug_register.h"

namespace {

inline Result<long> get_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, unsigned long argument)
{
	kvm_debugregs registers = {};
	for (u32 i = 0; i < 4; i++)
		registers.db[i] = vcpu.entry_switch.dr[i];
	registers.dr6 = vcpu.entry_switch.dr6;
	registers.dr7 = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	return long{copy_to_user(argument, registers)};
}

inline Result<long> set_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, unsigned long argument)
{
	kvm_debugregs registers;
	if (int error = copy_from_user(registers, argument))
		return long{error};
	if (registers.dr6 >> 32 || registers.dr7 >> 32)
		return long{refuse(vcpu, "KVM_SET_DEBUGREGS", "DR6 or DR7 has bits set above bit 31")};
	u64 unknown = registers.flags;
	for (u64 reserved : registers.reserved)
		unknown |= reserved;
	if (unknown)
		return long{refuse(vcpu, "KVM_SET_DEBUGREGS", "flags and reserved must be 0")};
	for (u32 i = 0; i < 4; i++)
		vcpu.entry_switch.dr[i] = registers.db[i];
	vcpu.entry_switch.dr6 = dr6_from(registers.dr6);
	set_dr7(vcpu, vmcs, registers.dr7);
	return 0L;
}

}  // namespace
