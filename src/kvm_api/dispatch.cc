// SPDX-License-Identifier: GPL-2.0
// From the number of an ioctl to its function.
#include "kvm_api/ioctls.h"
#include "machine.h"
#include "vcpu/run.h"

namespace {

inline Result<long> state_ioctl(Vcpu& vcpu, const LoadedVmcs& vmcs, unsigned int command, unsigned long argument)
{
	switch (command) {
	case KVM_GET_REGS:
		return get_regs(vcpu, vmcs, argument);
	case KVM_SET_REGS:
		return set_regs(vcpu, vmcs, argument);
	case KVM_GET_SREGS:
		return get_sregs(vcpu, vmcs, argument);
	case KVM_SET_SREGS:
		return set_sregs(vcpu, vmcs, argument);
	case KVM_SET_CPUID2:
		return set_cpuid(vcpu, vmcs, argument);
	case KVM_GET_CPUID2:
		return get_cpuid(vcpu, vmcs, argument);
	case KVM_GET_MSRS:
		return transfer_msrs(vcpu, vmcs, argument, false);
	case KVM_SET_MSRS:
		return transfer_msrs(vcpu, vmcs, argument, true);
	case KVM_GET_DEBUGREGS:
		return get_debugregs(vcpu, vmcs, argument);
	case KVM_SET_DEBUGREGS:
		return set_debugregs(vcpu, vmcs, argument);
	case KVM_SET_XCRS:
		return set_xcrs(vcpu, vmcs, argument);
	case KVM_GET_VCPU_EVENTS:
		return get_vcpu_events(vcpu, vmcs, argument);
	case KVM_NMI:
		return argument ? Result<long>(long{-EINVAL}) : add_nmi(vcpu, vmcs);
	case KVM_SET_VCPU_EVENTS:
		return set_vcpu_events(vcpu, vmcs, argument);
	default:
		return long{-ENOTTY};
	}
}

// The one that is fast, by itself.
inline long run_ioctl(Vcpu& vcpu, unsigned long argument)
{
	if (argument)
		return -EINVAL;
	[[gnu::uninitialized]] Result<long> result = 0L;
	{
		VcpuResidence residence(vcpu);
		if (residence.error())
			return residence.error();
		// Somebody may have begun to watch since the vCPU ran.
		if (vcpu.cache.hooks().watches_reads()) [[unlikely]]
			vcpu.cache.watching_changed(residence.vmcs());
		result = run_vcpu(vcpu, residence.vmcs());
	}
	return result.ok() ? result.value() : report_vmcs_error(vcpu, result.error());
}

// All others.
VREGCACHE_OUT_OF_LINE long other_ioctl(Vcpu& vcpu, unsigned int command, unsigned long argument)
{
	switch (command) {
	// These need no VMCS.
	case KVM_GET_FPU:
		return get_fpu(vcpu, argument);
	case KVM_SET_FPU:
		return set_fpu(vcpu, argument);
	case KVM_GET_XCRS:
		return get_xcrs(vcpu, argument);
	case KVM_GET_MP_STATE:
		return copy_to_user(argument, kvm_mp_state{KVM_MP_STATE_RUNNABLE});
	case KVM_SET_MP_STATE:
		return set_mp_state(argument);
	case KVM_INTERRUPT:
		return add_interrupt(vcpu, argument);
	default:
		break;
	}
	Result<long> result = 0L;
	{
		VcpuResidence residence(vcpu);
		if (residence.error())
			return residence.error();
		vcpu.cache.watching_changed(residence.vmcs());
		result = state_ioctl(vcpu, residence.vmcs(), command, argument);
	}
	return result.ok() ? result.value() : report_vmcs_error(vcpu, result.error());
}

}  // namespace

extern "C" long vrc_vcpu_ioctl(struct vrc_vcpu* handle, unsigned int command, unsigned long argument)
{
	Vcpu& vcpu = vcpu_of(handle);
	if (command == KVM_RUN) [[likely]]
		return run_ioctl(vcpu, argument);
	return other_ioctl(vcpu, command, argument);
}

extern "C" long vrc_device_ioctl(unsigned int command, unsigned long argument)
{
	switch (command) {
	case KVM_GET_API_VERSION:
		return argument ? -EINVAL : KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return check_extension(argument);
	case KVM_GET_VCPU_MMAP_SIZE:
		return argument ? -EINVAL : static_cast<long>(VRC_RUN_PAGES * kPageSize);
	case KVM_GET_SUPPORTED_CPUID:
		return get_supported_cpuid(argument);
	case KVM_GET_MSR_INDEX_LIST:
		return get_msr_index_list(argument);
	default:
		return -ENOTTY;
	}
}
