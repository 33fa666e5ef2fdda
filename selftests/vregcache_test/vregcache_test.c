// SPDX-License-Identifier: GPL-2.0
/*
 * What only a test may do to vregcache, through symbols that it exports for this module alone. An ioctl for each; see
 * vregcache_test.h. While the module is loaded, vregcache's messages are not rate-limited.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "test_access.h"
#include "vregcache_test.h"

static int log_interval;

/* Calls the function with the vCPU's file. */
#define WITH_VCPU(descriptor, function, ...)					\
	({									\
		struct file *vcpu_ = fget(descriptor);				\
		int error_ = vcpu_ ? function(vcpu_, ##__VA_ARGS__) : -EBADF;	\
										\
		if (vcpu_)							\
			fput(vcpu_);						\
		error_;								\
	})

static long vmcs_read(void __user *argument)
{
	struct vrc_test_field field;
	vrc_u64 value;
	int error;

	if (copy_from_user(&field, argument, sizeof(field)))
		return -EFAULT;
	error = WITH_VCPU(field.vcpu, vrc_test_vmcs_read, field.encoding, &value);
	if (error)
		return error;
	field.value = value;
	return copy_to_user(argument, &field, sizeof(field)) ? -EFAULT : 0;
}

static long vmcs_write(void __user *argument)
{
	struct vrc_test_field field;

	if (copy_from_user(&field, argument, sizeof(field)))
		return -EFAULT;
	return WITH_VCPU(field.vcpu, vrc_test_vmcs_write, field.encoding, field.value);
}

static long vmcs_clear(void __user *argument)
{
	s32 vcpu;

	if (copy_from_user(&vcpu, argument, sizeof(vcpu)))
		return -EFAULT;
	return WITH_VCPU(vcpu, vrc_test_vmcs_clear);
}

static long test_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *pointer = (void __user *)argument;

	switch (command) {
	case VRC_TEST_VMCS_READ:
		return vmcs_read(pointer);
	case VRC_TEST_VMCS_WRITE:
		return vmcs_write(pointer);
	case VRC_TEST_VMCS_CLEAR:
		return vmcs_clear(pointer);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = test_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vregcache_test",
	.fops = &operations,
	.mode = 0600,
};

static int __init vregcache_test_init(void)
{
	int error = misc_register(&device);

	if (error)
		return error;
	log_interval = vrc_log_limit.interval;
	vrc_log_limit.interval = 0;
	return 0;
}

static void __exit vregcache_test_exit(void)
{
	vrc_log_limit.interval = log_interval;
	misc_deregister(&device);
}

module_init(vregcache_test_init);
module_exit(vregcache_test_exit);
VRC_IMPORT_FOR_TESTS();
MODULE_DESCRIPTION("Does to vregcache what only a test may (test only)");
MODULE_LICENSE("GPL");
