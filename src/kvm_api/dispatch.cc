// SPDX-License-Identifier: GPL-2.0
// Maps ioctl numbers to functions.  A new ioctl is one line in one of these tables.
#include "kvm_api/in_window.h"
#include "kvm_api/ioctls.h"
#include "machine.h"
#include "vcpu/run.h"
#include "vcpu/transition.h"
#include "vmx/interrupts.h"

namespace {

struct DeviceIoctl {
	unsigned int command;
	long (*function)(unsigned long argument);
};

constexpr DeviceIoctl kDeviceIoctls[] = {
	{KVM_GET_API_VERSION, get_api_version},       {KVM_CHECK_EXTENSION, check_extension},
	{KVM_GET_VCPU_MMAP_SIZE, get_vcpu_mmap_size}, {KVM_GET_SUPPORTED_CPUID, get_supported_cpuid},
	{KVM_GET_MSR_INDEX_LIST, get_msr_index_list},
};

struct VmIoctl {
	unsigned int command;
	long (*function)(Vm& vm, unsigned long argument);
};

constexpr VmIoctl kVmIoctls[] = {
	{KVM_CHECK_EXTENSION, [](Vm&, unsigned long argument) { return check_extension(argument); }},
	{KVM_SET_USER_MEMORY_REGION, set_user_memory_region},
	{KVM_SET_TSS_ADDR, set_tss_addr},
	{KVM_SET_IDENTITY_MAP_ADDR, set_identity_map_addr},
};

// An ioctl of a vCPU.
struct VcpuIoctl {
	unsigned int command;
	long (*function)(Vcpu& vcpu, unsigned long argument);
};

// KVM_RUN is not listed: it is frequent, and dispatched separately.
constexpr VcpuIoctl kVcpuIoctls[] = {
	{KVM_GET_REGS, get<kvm_regs, get_regs>},
	{KVM_SET_REGS, set<kvm_regs, set_regs>},
	{KVM_GET_SREGS, get<kvm_sregs, get_sregs>},
	{KVM_SET_SREGS, set<kvm_sregs, set_sregs>},
	{KVM_GET_FPU, get_fpu},
	{KVM_SET_FPU, set_fpu},
	{KVM_GET_CPUID2, get_cpuid},
	{KVM_SET_CPUID2, set_cpuid},
	{KVM_GET_MSRS, get_msrs},
	{KVM_SET_MSRS, set_msrs},
	{KVM_GET_DEBUGREGS, get<kvm_debugregs, get_debugregs>},
	{KVM_SET_DEBUGREGS, set<kvm_debugregs, set_debugregs>},
	{KVM_GET_XCRS, get_xcrs},
	{KVM_SET_XCRS, set<kvm_xcrs, set_xcrs>},
	{KVM_GET_VCPU_EVENTS, get<kvm_vcpu_events, get_vcpu_events>},
	{KVM_SET_VCPU_EVENTS, set<kvm_vcpu_events, set_vcpu_events>},
	{KVM_GET_MP_STATE, get_mp_state},
	{KVM_SET_MP_STATE, set_mp_state},
	{KVM_INTERRUPT, add_interrupt},
	{KVM_NMI, add_nmi},
};

template <class Ioctl, unsigned kCount>
const Ioctl* find_ioctl(const Ioctl (&table)[kCount], unsigned int command)
{
	for (const Ioctl& ioctl : table) {
		if (ioctl.command == command)
			return &ioctl;
	}
	return nullptr;
}

VREGCACHE_COLD void bring_host_without_window(Vcpu& vcpu)
{
	turn_interrupts_off();
	bring_host(vcpu);
	turn_interrupts_on();
}

inline long run_ioctl(Vcpu& vcpu, unsigned long argument)
{
	if (argument)
		return -EINVAL;
	// From here on the scheduler calls vrc_vcpu_sched_out() and vrc_vcpu_sched_in().
	vrc_host_run_enter(vcpu.host);
	WindowHandle window(vcpu);
	window.open_first();
	Result<long> result = window.is_open() ? run_vcpu(vcpu, window) : Result<long>(long{window.error()});
	if (window.is_open()) [[likely]] {
		bring_host(vcpu);
		window.close();
	} else {
		bring_host_without_window(vcpu);
	}
	vrc_host_run_leave(vcpu.host);
	return result.ok() ? result.value() : report_vmcs_error(vcpu, result.error());
}

VREGCACHE_OUT_OF_LINE long other_ioctl(Vcpu& vcpu, unsigned int command, unsigned long argument)
{
	const VcpuIoctl* ioctl = find_ioctl(kVcpuIoctls, command);
	return ioctl ? ioctl->function(vcpu, argument) : -ENOTTY;
}

}  // namespace

extern "C" long vrc_vcpu_ioctl(struct vrc_vcpu* handle, unsigned int command, unsigned long argument)
{
	Vcpu& vcpu = vcpu_of(handle);
	if (command == KVM_RUN) [[likely]]
		return run_ioctl(vcpu, argument);
	return other_ioctl(vcpu, command, argument);
}

extern "C" long vrc_vm_ioctl(struct vrc_vm* vm, unsigned int command, unsigned long argument)
{
	const VmIoctl* ioctl = find_ioctl(kVmIoctls, command);
	return ioctl ? ioctl->function(vm_of(vm), argument) : -ENOTTY;
}

extern "C" long vrc_device_ioctl(unsigned int command, unsigned long argument)
{
	const DeviceIoctl* ioctl = find_ioctl(kDeviceIoctls, command);
	return ioctl ? ioctl->function(argument) : -ENOTTY;
}
