// SPDX-License-Identifier: GPL-2.0
// Loads a vCPU's VMCS on a CPU.
#include "machine.h"
#include "vcpu/vcpu_load.h"

namespace {

VREGCACHE_COLD int load_vmcs(Vcpu& vcpu)
{
	const unsigned from = vcpu.vmcs.home();
	Result<bool> moved = vcpu.vmcs.load();
	// After a reboot has begun no CPU is in VMX operation; every access fails with kNotCurrent.
	if (!moved.ok())
		return vrc_cpu_state();
	trace_vmcs_load(vcpu.id, vcpu.vmcs.id(), from);
	if (moved.value() && !write_host_cpu_state(LoadedVmcs(vcpu.access(), VmcsKey()), vcpu.host_fields).ok() &&
	    !vrc_cpu_state())
		vrc_host_warn("a VMCS that was just loaded refuses VMWRITE");
	return 0;
}

}  // namespace

// A VMCS is current only on a CPU that is in VMX operation: each VMCS is cleared before that ends.
extern "C" int vrc_vcpu_sched_in(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	return current_vmcs() == vcpu.vmcs.id() ? 0 : load_vmcs(vcpu);
}

extern "C" void vrc_vcpu_sched_out(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	vcpu.resident.to_host(vcpu.msrs);
}
