// SPDX-License-Identifier: GPL-2.0
// KVM_GET_XCRS and KVM_SET_XCRS.
#include "kvm_api/ioctls.h"
#include "vcpu/control_register.h"

namespace {

inline long get_xcrs(Vcpu& vcpu, unsigned long argument)
{
	kvm_xcrs xcrs = {};
	xcrs.nr_xcrs = g_vmx.facts.xsave ? 1 : 0;
	xcrs.xcrs[0].value = vcpu.entry_switch.xcr0;
	return copy_to_user(argument, xcrs);
}

inline Result<long> set_xcrs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_xcrs& xcrs)
{
	if (xcrs.nr_xcrs > KVM_MAX_XCRS || xcrs.flags)
		return long{refuse(vcpu, "KVM_SET_XCRS", "nr_xcrs is above 16, or flags is not 0")};
	u64 value = vcpu.entry_switch.xcr0;
	for (u32 i = 0; i < xcrs.nr_xcrs; i++) {
		value = xcrs.xcrs[i].value;
		if (xcrs.xcrs[i].xcr != 0 || xcrs.xcrs[i].reserved)
			return long{refuse(vcpu, "KVM_SET_XCRS", "only XCR0 can be set, and reserved must be 0")};
		if (!is_valid_xcr0(vcpu.model, value))
			return long{refuse(vcpu, "KVM_SET_XCRS", "XSETBV would raise #GP for this value of XCR0")};
	}
	VREGCACHE_TRY(set_xcr0(vcpu, vmcs, value));
	return 0L;
}

}  // namespace
