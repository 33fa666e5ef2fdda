// SPDX-License-Identifier: GPL-2.0
// KVM_GET_DEBUGREGS and KVM_SET_DEBUGREGS.
#include "kvm_api/ioctls.h"
#include "vcpu/debug_register.h"

namespace {

inline Result<void> get_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_debugregs& registers)
{
	for (u32 i = 0; i < 4; i++)
		registers.db[i] = vcpu.entry_switch.dr[i];
	registers.dr6 = vcpu.entry_switch.dr6;
	registers.dr7 = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	return {};
}

inline Result<long> set_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_debugregs& registers)
{
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
