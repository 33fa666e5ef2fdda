// SPDX-License-Identifier: GPL-2.0
/*
 * The files: /dev/vregcache, one for each virtual machine, one for each vCPU.
 *
 * A virtual machine lives as long as its file or one of its vCPUs; a vCPU as long as its file.  A mapping of a vCPU's
 * pages holds the file, so the pages outlive every mapping.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "fpu.h"
#include "objects.h"

static DEFINE_MUTEX(global_lock);

void vrc_host_global_lock(void)
{
	mutex_lock(&global_lock);
}

void vrc_host_global_unlock(void)
{
	mutex_unlock(&global_lock);
}

void vrc_host_memory_lock(struct vrc_host_vm *vm)
{
	mutex_lock(&vm->memory_lock);
}

void vrc_host_memory_unlock(struct vrc_host_vm *vm)
{
	mutex_unlock(&vm->memory_lock);
}

static void vm_release(struct kref *references)
{
	struct vrc_host_vm *vm = container_of(references, struct vrc_host_vm, references);

	if (vm->machine)
		vrc_vm_destroy(vm->machine);
	mmdrop(vm->mm);
	kfree(vm);
}

static void vm_put(struct vrc_host_vm *vm)
{
	kref_put(&vm->references, vm_release);
}

/* ---- vCPU files ---- */

static void vcpu_free(struct vrc_host_vcpu *vcpu, bool release_id)
{
	struct vrc_host_vm *vm = vcpu->vm;

	if (vcpu->machine)
		vrc_vcpu_destroy(vcpu->machine, release_id);
	vrc_fpu_free(vcpu);
	kvfree(vcpu->work);
	vfree(vcpu->run);
	kfree(vcpu);
	vm_put(vm);
}

static int vcpu_file_release(struct inode *inode, struct file *file)
{
	vcpu_free(file->private_data, false);
	return 0;
}

static int vcpu_file_mmap(struct file *file, struct vm_area_struct *area)
{
	struct vrc_host_vcpu *vcpu = file->private_data;

	return remap_vmalloc_range(area, vcpu->run, area->vm_pgoff);
}

static long vcpu_file_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct vrc_host_vcpu *vcpu = file->private_data;
	long result;

	/* The guest's memory is that of the process that created the virtual machine. */
	if (vcpu->vm->mm != current->mm)
		return -EIO;
	if (_IOC_TYPE(command) != KVMIO)
		return -ENOTTY;
	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	result = vrc_vcpu_ioctl(vcpu->machine, command, argument);
	mutex_unlock(&vcpu->lock);
	return result;
}

static const struct file_operations vcpu_operations = {
	.owner = THIS_MODULE,
	.release = vcpu_file_release,
	.unlocked_ioctl = vcpu_file_ioctl,
	.mmap = vcpu_file_mmap,
	.llseek = noop_llseek,
};

struct vrc_host_vcpu *vrc_vcpu_of_file(struct file *file)
{
	return file->f_op == &vcpu_operations ? file->private_data : NULL;
}

static struct vrc_host_vcpu *vcpu_allocate(struct vrc_host_vm *vm, u32 id)
{
	struct vrc_host_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);

	if (!vcpu)
		return NULL;
	kref_get(&vm->references);
	vcpu->vm = vm;
	vcpu->id = id;
	mutex_init(&vcpu->lock);
	vrc_notifier_init(vcpu);
	vcpu->run = vmalloc_user(VRC_RUN_PAGES * PAGE_SIZE);
	if (!vcpu->run || !vrc_compat_task_work_alloc(&vcpu->work, vcpu->run) ||
	    !vrc_fpu_alloc(vcpu)) {
		vcpu_free(vcpu, true);
		return NULL;
	}
	return vcpu;
}

static long create_vcpu(struct vrc_host_vm *vm, unsigned long id)
{
	struct vrc_host_vcpu *vcpu;
	int result;

	if (id >= VRC_MAX_VCPUS)
		return -EINVAL;
	vcpu = vcpu_allocate(vm, id);
	if (!vcpu)
		return -ENOMEM;
	result = vrc_vcpu_create(vm->machine, id, vcpu, vcpu->run, &vcpu->machine);
	if (!result) {
		/* No other task knows it yet, but the context rule requires the lock. */
		mutex_lock(&vcpu->lock);
		result = vrc_vcpu_set_up(vcpu->machine);
		mutex_unlock(&vcpu->lock);
	}
	if (!result)
		result = anon_inode_getfd("vregcache-vcpu", &vcpu_operations, vcpu, O_RDWR | O_CLOEXEC);
	if (result < 0)
		vcpu_free(vcpu, true);
	return result;
}

/* ---- virtual machine files ---- */

static int vm_file_release(struct inode *inode, struct file *file)
{
	vm_put(file->private_data);
	return 0;
}

static long vm_file_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct vrc_host_vm *vm = file->private_data;

	if (vm->mm != current->mm)
		return -EIO;
	if (command == KVM_CREATE_VCPU)
		return create_vcpu(vm, argument);
	return vrc_vm_ioctl(vm->machine, command, argument);
}

static const struct file_operations vm_operations = {
	.owner = THIS_MODULE,
	.release = vm_file_release,
	.unlocked_ioctl = vm_file_ioctl,
	.llseek = noop_llseek,
};

static long create_vm(unsigned long type)
{
	struct vrc_host_vm *vm;
	int file;

	if (type)
		return -EINVAL;
	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return -ENOMEM;
	kref_init(&vm->references);
	mutex_init(&vm->memory_lock);
	mmgrab(current->mm);
	vm->mm = current->mm;
	vm->machine = vrc_vm_create(vm);
	file = vm->machine ? anon_inode_getfd("vregcache-vm", &vm_operations, vm, O_RDWR | O_CLOEXEC) : -ENOMEM;
	if (file < 0)
		vm_put(vm);
	return file;
}

/* ---- the device ---- */

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	if (command == KVM_CREATE_VM)
		return create_vm(argument);
	return vrc_device_ioctl(command, argument);
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vregcache",
	.fops = &device_operations,
	.mode = 0600,
};

int vrc_device_register(void)
{
	return misc_register(&device);
}

void vrc_device_unregister(void)
{
	misc_deregister(&device);
}
