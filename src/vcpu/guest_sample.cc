// SPDX-License-Identifier: GPL-2.0
// Registers of the guest, for a handler of an NMI or interrupt that ended the guest's run.
#include "machine.h"
#include "vcpu/guest_state.h"
#include "vcpu/vmcs_window.h"

extern "C" int vrc_vcpu_pmi_sample(struct vrc_vcpu* handle, vrc_u64* rip, vrc_bool* user)
{
	Vcpu& vcpu = vcpu_of(handle);
	PmiWindow window(vcpu);
	Result<u64> address = vcpu.cache.read<Reg::kRip>(window.vmcs());
	Result<u32> level = privilege_level(vcpu, window.vmcs());
	if (!address.ok() || !level.ok())
		return -EIO;
	*rip = address.value();
	*user = level.value() == 3;
	return 0;
}
