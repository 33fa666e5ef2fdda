// SPDX-License-Identifier: GPL-2.0
// Ioctls of the device and of virtual machines.
#include "kvm_api/ioctls.h"
#include "vcpu/vm.h"
#include "vmx/capability.h"

namespace {

inline long set_user_memory_region(Vm& vm, unsigned long argument)
{
	kvm_userspace_memory_region region;
	if (int error = copy_from_user(region, argument))
		return error;
	MemoryGuard guard(vm.host);
	return vm.memory.set_slot(vm.host, region);
}

// Where KVM puts a task state segment for real mode on old CPUs.  With unrestricted guest none is needed.
inline long set_tss_addr(Vm&, unsigned long argument)
{
	constexpr unsigned long kBytes = 3 * kPageSize;
	return argument > (1ul << 32) - kBytes ? -EINVAL : 0;
}

// Where KVM puts a page table for CPUs without unrestricted guest.  Those are not supported, and the address is ignored.
inline long set_identity_map_addr(Vm& vm, unsigned long argument)
{
	u64 address;
	if (int error = copy_from_user(address, argument))
		return error;
	MemoryGuard guard(vm.host);
	return vm.vcpu_ids ? -EINVAL : 0;
}

inline long get_api_version(unsigned long argument) { return argument ? -EINVAL : KVM_API_VERSION; }

inline long get_vcpu_mmap_size(unsigned long argument)
{
	return argument ? -EINVAL : static_cast<long>(VRC_RUN_PAGES * kPageSize);
}

inline long check_extension(unsigned long extension)
{
	switch (extension) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_INTERNAL_ERROR_DATA:
	case KVM_CAP_USER_NMI:
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_INTR_SHADOW:
		return 1;
	case KVM_CAP_XCRS:
		return g_vmx.facts.xsave;
	case KVM_CAP_NR_VCPUS:
	case KVM_CAP_MAX_VCPUS:
	case KVM_CAP_MAX_VCPU_ID:
		return VRC_MAX_VCPUS;
	case KVM_CAP_NR_MEMSLOTS:
		return GuestMemory::kSlotLimit;
	default:
		return 0;
	}
}

}  // namespace
