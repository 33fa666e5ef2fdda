// SPDX-License-Identifier: GPL-2.0
/* Accesses to a vCPU, for selftests/vregcache_test/ only. */
#include <linux/module.h>

#include "../linux/compat.h"
#include "../linux/objects.h"
#include "../linux/guest_interrupt.h"
#include "exports.h"

/* The vCPU of a file, locked; or an error. */
static struct vrc_host_vcpu *lock_vcpu(struct file *file)
{
	struct vrc_host_vcpu *vcpu = vrc_vcpu_of_file(file);

	if (!vcpu)
		return ERR_PTR(-EBADF);
	if (vcpu->vm->mm != current->mm)
		return ERR_PTR(-EIO);
	if (mutex_lock_killable(&vcpu->lock))
		return ERR_PTR(-EINTR);
	return vcpu;
}

int vrc_test_vmcs_read(struct file *file, vrc_u32 encoding, vrc_u64 *value)
{
	struct vrc_host_vcpu *vcpu = lock_vcpu(file);
	int error;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	error = vrc_vcpu_raw_vmread(vcpu->machine, encoding, value);
	mutex_unlock(&vcpu->lock);
	return error;
}

VRC_EXPORT_FOR_TESTS(vrc_test_vmcs_read);

int vrc_test_vmcs_write(struct file *file, vrc_u32 encoding, vrc_u64 value)
{
	struct vrc_host_vcpu *vcpu = lock_vcpu(file);
	int error;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	error = vrc_vcpu_raw_vmwrite(vcpu->machine, encoding, value);
	mutex_unlock(&vcpu->lock);
	return error;
}

VRC_EXPORT_FOR_TESTS(vrc_test_vmcs_write);

int vrc_test_vmcs_clear(struct file *file)
{
	struct vrc_host_vcpu *vcpu = lock_vcpu(file);
	int error;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	error = vrc_vcpu_raw_vmclear(vcpu->machine);
	mutex_unlock(&vcpu->lock);
	return error;
}

VRC_EXPORT_FOR_TESTS(vrc_test_vmcs_clear);

int vrc_test_plant(struct file *file, enum vrc_plant fault, vrc_u32 reg, vrc_u64 value)
{
	struct vrc_host_vcpu *vcpu = lock_vcpu(file);
	int error;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	error = vrc_vcpu_plant(vcpu->machine, fault, reg, value);
	mutex_unlock(&vcpu->lock);
	return error;
}

VRC_EXPORT_FOR_TESTS(vrc_test_plant);

int vrc_test_vmcs_load(struct file *file, struct file *other_file)
{
	struct vrc_host_vcpu *other = vrc_vcpu_of_file(other_file);
	struct vrc_host_vcpu *vcpu = lock_vcpu(file);
	int error = -EBADF;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	if (other == vcpu) {
		error = vrc_vcpu_raw_vmptrld(vcpu->machine, vcpu->machine);
	} else if (other && !mutex_trylock(&other->lock)) {
		error = -EBUSY;
	} else if (other) {
		error = vrc_vcpu_raw_vmptrld(vcpu->machine, other->machine);
		mutex_unlock(&other->lock);
	}
	mutex_unlock(&vcpu->lock);
	return error;
}

VRC_EXPORT_FOR_TESTS(vrc_test_vmcs_load);

int vrc_test_vcpu(struct file *file, struct vrc_host_vcpu **vcpu)
{
	*vcpu = vrc_vcpu_of_file(file);
	if (!*vcpu)
		return -EBADF;
	return (*vcpu)->vm->mm == current->mm ? 0 : -EIO;
}

VRC_EXPORT_FOR_TESTS(vrc_test_vcpu);

vrc_bool vrc_test_pmi_in_guest(const struct vrc_host_vcpu *vcpu)
{
	return pmi_in_guest(vcpu);
}

VRC_EXPORT_FOR_TESTS(vrc_test_pmi_in_guest);

void vrc_test_pmi_compare(struct vrc_host_vcpu *vcpu, struct vrc_pmi_comparison *comparison)
{
	vrc_vcpu_pmi_compare(vcpu->machine, comparison);
}

VRC_EXPORT_FOR_TESTS(vrc_test_pmi_compare);

int vrc_test_with_vmcs_too(struct file *file, void (*function)(void *), void *argument)
{
	return vrc_vcpu_with_vmcs(vrc_vcpu_of_file(file)->machine, function, argument);
}

VRC_EXPORT_FOR_TESTS(vrc_test_with_vmcs_too);

int vrc_test_with_vmcs(struct file *file, bool locked, void (*function)(void *), void *argument)
{
	struct vrc_host_vcpu *vcpu = lock_vcpu(file);
	int error;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	if (!locked)
		mutex_unlock(&vcpu->lock);
	error = vrc_vcpu_with_vmcs(vcpu->machine, function, argument);
	if (locked)
		mutex_unlock(&vcpu->lock);
	return error;
}

VRC_EXPORT_FOR_TESTS(vrc_test_with_vmcs);

int vrc_test_with_lock(struct file *file, void (*function)(void *), void *argument)
{
	struct vrc_host_vcpu *vcpu = lock_vcpu(file);

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	function(argument);
	mutex_unlock(&vcpu->lock);
	return 0;
}

VRC_EXPORT_FOR_TESTS(vrc_test_with_lock);

void vrc_test_use_cache(struct file *file, struct vrc_cache_use *use)
{
	vrc_vcpu_use_cache(vrc_vcpu_of_file(file)->machine, use);
}

VRC_EXPORT_FOR_TESTS(vrc_test_use_cache);

void vrc_test_begin_handling_intr(struct file *file, bool nmi)
{
	this_cpu_write(vrc_pmi_vcpu, (unsigned long)vrc_vcpu_of_file(file) | (nmi ? VRC_PMI_NMI : VRC_PMI_IRQ));
}

VRC_EXPORT_FOR_TESTS(vrc_test_begin_handling_intr);

void vrc_test_end_handling_intr(void)
{
	this_cpu_write(vrc_pmi_vcpu, 0);
}

VRC_EXPORT_FOR_TESTS(vrc_test_end_handling_intr);

void vrc_test_raw_register(struct vrc_host_vcpu *vcpu, vrc_u32 number, struct vrc_raw_register *state)
{
	vrc_vcpu_raw_register(vcpu->machine, number, state);
}

VRC_EXPORT_FOR_TESTS(vrc_test_raw_register);
