// SPDX-License-Identifier: GPL-2.0
// Creates and destroys virtual machines.
#include <new>

#include "machine.h"
#include "vcpu/vm.h"
#include "vmx/cpu.h"

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

extern "C" void vrc_vm_destroy(struct vrc_vm* handle)
{
	Vm& vm = vm_of(handle);
	vm.memory.destroy(vm.host);
	vrc_host_free(&vm);
}
