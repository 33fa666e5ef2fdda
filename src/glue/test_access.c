// SPDX-License-Identifier: GPL-2.0
/* Ways into a vCPU that nothing but selftests/vregcache_test/ takes. */
#include <linux/module.h>

#include "compat.h"
#include "objects.h"
#include "pmi.h"
#include "test_access.h"

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
