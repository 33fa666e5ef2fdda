// SPDX-License-Identifier: GPL-2.0
// Creates, sets up and destroys vCPUs.
#include <new>

#include "instrument/counter_table.h"
#include "machine.h"
#include "vcpu/cpuid.h"
#include "vcpu/guest_state.h"
#include "vcpu/reset.h"
#include "vcpu/vmcs_error.h"
#include "vcpu/vmcs_window.h"

namespace {

inline Result<void> set_up_vmcs(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(vcpu.cache.bind(vmcs, vcpu.vmcs.id()));
	VREGCACHE_TRY(write_controls(vmcs, vcpu.controls, vcpu.vm->memory.ept_pointer(), vcpu.vm->tsc_offset));
	VRC_WRITE(vmcs, kCr0GuestHostMask, GuestCr0::guest_host_mask(cr0_share()));
	VREGCACHE_TRY(apply_cpu_model(vcpu, vmcs));
	VREGCACHE_TRY(write_host_state(vmcs, vcpu.frame));
	return reset_registers(vcpu, vmcs);
}

}  // namespace

extern "C" int vrc_vcpu_create(struct vrc_vm* vm, vrc_u32 id, struct vrc_host_vcpu* host, void* run,
			       struct vrc_vcpu** created)
{
	if (id >= VRC_MAX_VCPUS)
		return -EINVAL;
	void* memory = vrc_host_alloc(sizeof(Vcpu));
	if (!memory)
		return -ENOMEM;
	Vcpu* vcpu = new (memory) Vcpu;
	vcpu->vm = &vm_of(vm);
	vcpu->id = id;
	vcpu->host = host;
	vcpu->run = static_cast<kvm_run*>(run);
	vcpu->io_data = static_cast<u8*>(run) + kPageSize;
	vcpu->cache.hooks().set_vcpu(id, host);
	if (!vcpu->vmcs.create()) {
		vrc_host_free(memory);
		return -ENOMEM;
	}
	{
		MemoryGuard guard(vcpu->vm->host);
		if (vcpu->vm->vcpu_ids >> id & 1) {
			vcpu->vmcs.destroy();
			vrc_host_free(memory);
			return -EEXIST;
		}
		vcpu->vm->vcpu_ids |= u64{1} << id;
	}
	set_default_cpuid(*vcpu);
	register_counters(vcpu->cache.hooks().counters);
	*created = reinterpret_cast<vrc_vcpu*>(vcpu);
	return 0;
}

// Called once the host can find the vCPU by its handle: loads and fills its VMCS for the first time.
extern "C" int vrc_vcpu_set_up(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	[[gnu::uninitialized]] Result<void> done;
	{
		VmcsWindow window(vcpu);
		if (!window.is_open())
			return window.error();
		done = set_up_vmcs(vcpu, window.vmcs());
	}
	return done.ok() ? 0 : static_cast<int>(report_vmcs_error(vcpu, done.error()));
}

extern "C" void vrc_vcpu_destroy(struct vrc_vcpu* handle, vrc_bool release_id)
{
	Vcpu& vcpu = vcpu_of(handle);
	unregister_counters(vcpu.cache.hooks().counters);
	vcpu.vmcs.destroy();
	if (release_id) {
		MemoryGuard guard(vcpu.vm->host);
		vcpu.vm->vcpu_ids &= ~(u64{1} << vcpu.id);
	}
	vrc_host_free(&vcpu);
}
