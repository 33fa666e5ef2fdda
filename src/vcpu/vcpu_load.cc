// SPDX-License-Identifier: GPL-2.0
// Loads a vCPU: makes its VMCS the current one, and keeps it so while the scheduler moves the task.
#include "machine.h"
#include "vcpu/vcpu_load.h"
#include "vmx/interrupts.h"

namespace {

// Preemption off.  If the result is not 0, no VMCS can be used here.  -EAGAIN: this CPU is going down, and the task will leave
// it.  -EIO: it has left VMX operation for good.
VREGCACHE_COLD int load_vmcs(Vcpu& vcpu)
{
	const unsigned from = vcpu.vmcs.home();
	Result<bool> moved = vcpu.vmcs.load();
	// After a reboot has begun no CPU is in VMX operation; every access fails with kNotCurrent.
	if (!moved.ok())
		return cpu_state();
	trace_vmcs_load(vcpu.id, vcpu.vmcs.id(), from);
	if (moved.value() && !write_host_cpu_state(LoadedVmcs(vcpu.access(), VmcsKey()), vcpu.host_fields).ok() &&
	    !cpu_state())
		vrc_host_warn("a VMCS that was just loaded refuses VMWRITE");
	return 0;
}

// A VMCS is current only on a CPU that is in VMX operation: each VMCS is cleared before that ends.
inline int LoadedVcpu::load(Vcpu& vcpu)
{
	return vrc_host_notify_begin(vcpu.host, vcpu.vmcs.task()) ? 0 : load_here(vcpu);
}

VREGCACHE_COLD int LoadedVcpu::load_here(Vcpu& vcpu)
{
	for (;;) {
		const int error = load_vmcs(vcpu);
		vrc_host_preempt_enable();
		if (!error)
			return 0;
		vrc_host_notify_end(vcpu.host);
		if (error != -EAGAIN)
			return error;
		if (int killed = vrc_host_leave_cpu())
			return killed;
		if (vrc_host_notify_begin(vcpu.host, vcpu.vmcs.task()))
			return 0;
	}
}

VREGCACHE_OUT_OF_LINE void LoadedVcpu::put(Vcpu& vcpu)
{
	{
		// So that the task stays on this CPU; cheaper than turning preemption off.
		RawInterruptsOff interrupts_off;
		vcpu.load_switch.to_host(vcpu.msrs);
	}
	vrc_host_notify_end(vcpu.host);
}

}  // namespace

// If it fails, no VMCS can be used here, and each access to the vCPU's fails with kNotCurrent.
extern "C" void vrc_vcpu_sched_in(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	if (current_vmcs() != vcpu.vmcs.id())
		load_vmcs(vcpu);
}

extern "C" void vrc_vcpu_sched_out(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	vcpu.load_switch.to_host(vcpu.msrs);
}
