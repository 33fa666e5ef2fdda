// SPDX-License-Identifier: GPL-2.0
// KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, KVM_GET_XCRS and KVM_SET_XCRS.
#include "kvm_api/ioctls.h"
#include "vcpu/control_register.h"
#include "vcpu/debug_register.h"
#include "vcpu/exits/exits.h"

namespace {

inline Result<long> get_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, unsigned long argument)
{
	kvm_debugregs registers = {};
	for (u32 i = 0; i < 4; i++)
		registers.db[i] = vcpu.entry.dr[i];
	registers.dr6 = vcpu.entry.dr6;
	registers.dr7 = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	return long{copy_to_user(argument, registers)};
}

inline Result<long> set_debugregs(Vcpu& vcpu, const LoadedVmcs& vmcs, unsigned long argument)
{
	kvm_debugregs registers;
	if (int error = copy_from_user(registers, argument))
		return long{error};
	if (registers.dr6 >> 32 || registers.dr7 >> 32)
		return long{refuse(vcpu, "KVM_SET_DEBUGREGS", "DR6 or DR7 has bits above 31")};
	u64 unknown = registers.flags;
	for (u64 reserved : registers.reserved)
		unknown |= reserved;
	if (unknown)
		return long{refuse(vcpu, "KVM_SET_DEBUGREGS", "flags and reserved must be 0")};
	for (u32 i = 0; i < 4; i++)
		vcpu.entry.dr[i] = registers.db[i];
	vcpu.entry.dr6 = dr6_from(registers.dr6);
	set_dr7(vcpu, vmcs, registers.dr7);
	return 0L;
}

inline long get_xcrs(Vcpu& vcpu, unsigned long argument)
{
	kvm_xcrs xcrs = {};
	xcrs.nr_xcrs = g_vmx.facts.xsave ? 1 : 0;
	xcrs.xcrs[0].value = vcpu.entry.xcr0;
	return copy_to_user(argument, xcrs);
}

inline Result<long> set_xcrs(Vcpu& vcpu, const LoadedVmcs& vmcs, unsigned long argument)
{
	kvm_xcrs xcrs;
	if (int error = copy_from_user(xcrs, argument))
		return long{error};
	if (xcrs.nr_xcrs > KVM_MAX_XCRS || xcrs.flags)
		return long{refuse(vcpu, "KVM_SET_XCRS", "nr_xcrs is above 16, or flags is not 0")};
	u64 value = vcpu.entry.xcr0;
	for (u32 i = 0; i < xcrs.nr_xcrs; i++) {
		value = xcrs.xcrs[i].value;
		if (xcrs.xcrs[i].xcr != 0 || xcrs.xcrs[i].reserved)
			return long{refuse(vcpu, "KVM_SET_XCRS", "the only register is XCR0, and reserved must be 0")};
		if (!is_valid_xcr0(vcpu.model, value))
			return long{refuse(vcpu, "KVM_SET_XCRS", "XSETBV would not take the value of XCR0")};
	}
	vcpu.entry.xcr0 = value;
	follow_cr4(vcpu, VREGCACHE_TRY(host_owned_cr4<kCr4Followed>(vcpu, vmcs)));
	return 0L;
}

}  // namespace
