// SPDX-License-Identifier: GPL-2.0
/* Faults of the register cache, for verification to find. */
#include <linux/uaccess.h>

#include "groups.h"
#include "../../src/test_hooks/exports.h"
#include "vregcache_test.h"

static long plant(void __user *argument, enum vrc_plant fault)
{
	struct vrc_test_fault request;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	return WITH_VCPU(request.vcpu, vrc_test_plant, fault, request.reg, request.value);
}

static long vmcs_load(void __user *argument)
{
	struct vrc_test_load request;
	struct file *other;
	long error;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	other = fget(request.other);
	if (!other)
		return -EBADF;
	error = WITH_VCPU(request.vcpu, vrc_test_vmcs_load, other);
	fput(other);
	return error;
}

static long faults_ioctl(unsigned int command, void __user *argument)
{
	switch (command) {
	case VRC_TEST_STALE:
		return plant(argument, VRC_PLANT_STALE);
	case VRC_TEST_LOSE:
		return plant(argument, VRC_PLANT_LOSE);
	case VRC_TEST_SWAP:
		return plant(argument, VRC_PLANT_SWAP);
	case VRC_TEST_LAST_WRITTEN:
		return plant(argument, VRC_PLANT_LAST_WRITTEN);
	case VRC_TEST_VMCS_LOAD:
		return vmcs_load(argument);
	default:
		return -ENOTTY;
	}
}

const struct vrc_test_group vrc_test_faults = {
	.ioctl = faults_ioctl,
};
