// SPDX-License-Identifier: GPL-2.0
// Virtual machines, and their ioctls.
#include <new>

#include "kvm_api/ioctls.h"
#include "machine.h"
#include "vcpu/vm.h"

namespace {

inline int vm_set_memory_region(Vm& vm, unsigned long argument)
{
	kvm_userspace_memory_region region;
	if (int error = copy_from_user(region, argument))
		return error;
	MemoryGuard guard(vm.host);
	return vm.memory.set_slot(vm.host, region);
}

// Where KVM puts a page table for CPUs without unrestricted guest.  Those are not supported, and the address is ignored.
inline int vm_set_identity_map(Vm& vm, unsigned long argument)
{
	u64 address;
	if (int error = copy_from_user(address, argument))
		return error;
	MemoryGuard guard(vm.host);
	return vm.vcpu_ids ? -EINVAL : 0;
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

extern "C" struct vrc_vm* vrc_vm_create(struct vrc_host_vm* host)
{
	void* memory = vrc_host_alloc(sizeof(Vm));
	if (!memory)
		return nullptr;
	Vm* vm = new (memory) Vm;
	vm->host = host;
	vm->tsc_offset = -rdtsc();
	if (vm->memory.create()) {
		vrc_host_free(memory);
		return nullptr;
	}
	return reinterpret_cast<vrc_vm*>(vm);
}

extern "C" void vrc_vm_destroy(struct vrc_vm* vm)
{
	Vm& machine = vm_of(vm);
	machine.memory.destroy(machine.host);
	vrc_host_free(vm);
}

extern "C" long vrc_vm_ioctl(struct vrc_vm* vm, unsigned int command, unsigned long argument)
{
	switch (command) {
	case KVM_CHECK_EXTENSION:
		return check_extension(argument);
	case KVM_SET_USER_MEMORY_REGION:
		return vm_set_memory_region(vm_of(vm), argument);
	case KVM_SET_TSS_ADDR:
		// Where KVM puts a task state segment for real mode on old CPUs.  With unrestricted guest none is needed.
		return argument >> 32 ? -EINVAL : 0;
	case KVM_SET_IDENTITY_MAP_ADDR:
		return vm_set_identity_map(vm_of(vm), argument);
	default:
		return -ENOTTY;
	}
}
