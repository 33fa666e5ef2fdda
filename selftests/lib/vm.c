// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

long ioctl_errno(int fd, unsigned long request, unsigned long arg)
{
	int result = ioctl(fd, request, arg);

	return result < 0 ? -errno : result;
}

void *host_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("%zu bytes of memory", size);
	return memory;
}

void vm_create_bare(struct vm *vm)
{
	memset(vm, 0, sizeof(*vm));
	vm->dev = device_open();
	vm->fd = ioctl(vm->dev, KVM_CREATE_VM, 0UL);
	if (vm->fd < 0)
		die("KVM_CREATE_VM");
}

void vm_create(struct vm *vm, size_t mem_size)
{
	long error;

	vm_create_bare(vm);
	vm->mem_size = mem_size;
	vm->mem = host_alloc(mem_size);
	error = vm_set_slot(vm, 0, 0, 0, mem_size, vm->mem);
	if (error) {
		errno = -error;
		die("KVM_SET_USER_MEMORY_REGION");
	}
}

void vm_destroy(struct vm *vm)
{
	close(vm->fd);
	close(vm->dev);
	if (vm->mem)
		munmap(vm->mem, vm->mem_size);
	memset(vm, 0, sizeof(*vm));
}

long vm_set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return ioctl_ptr(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

void *vm_at(struct vm *vm, uint64_t gpa)
{
	errno = 0;
	if (gpa >= vm->mem_size)
		die("guest-physical %#lx is outside slot 0", gpa);
	return vm->mem + gpa;
}

uint64_t vm_read64(struct vm *vm, uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, vm_at(vm, gpa), sizeof(value));
	return value;
}

void vm_write64(struct vm *vm, uint64_t gpa, uint64_t value)
{
	memcpy(vm_at(vm, gpa), &value, sizeof(value));
}

void vm_load_bytes(struct vm *vm, uint64_t gpa, const void *bytes, size_t size)
{
	memcpy(vm_at(vm, gpa), bytes, size);
}
