// SPDX-License-Identifier: GPL-2.0
/*
 * Operations on vregcache that only a test may do, through symbols that it exports for this module alone. There is an
 * ioctl for each; see vregcache_test.h. While the module is loaded, vregcache's messages are not rate-limited.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/ratelimit.h>

#include "compat.h"
#include "groups.h"
#include "../../src/test_hooks/exports.h"
#include "vregcache_test.h"

/* By the upper digit of the ioctl's number. */
static const struct vrc_test_group *const groups[] = {
	[0x0] = &vrc_test_fields,
	[0x1] = &vrc_test_contexts,
	[0x2] = &vrc_test_nmi,
	[0x3] = &vrc_test_faults,
	[0x4] = &vrc_test_miss,
	[0x5] = &vrc_test_hotplug,
	[0x6] = &vrc_test_pointer,
};

static int log_interval;

static long test_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	unsigned int group = _IOC_NR(command) >> 4;

	if (_IOC_TYPE(command) != VRC_TEST_IOCTL_TYPE || group >= ARRAY_SIZE(groups) || !groups[group])
		return -ENOTTY;
	return groups[group]->ioctl(command, (void __user *)argument);
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

/* Ends the first @count groups. */
static void end_groups(unsigned int count)
{
	while (count--) {
		if (groups[count] && groups[count]->end)
			groups[count]->end();
	}
}

static int __init vregcache_test_init(void)
{
	unsigned int i;
	int error = 0;

	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		if (groups[i] && groups[i]->begin)
			error = groups[i]->begin();
		if (error)
			goto end;
	}
	error = misc_register(&device);
	if (error)
		goto end;
	log_interval = vrc_log_limit.interval;
	vrc_log_limit.interval = 0;
	return 0;

end:
	end_groups(i);
	return error;
}

static void __exit vregcache_test_exit(void)
{
	vrc_log_limit.interval = log_interval;
	misc_deregister(&device);
	end_groups(ARRAY_SIZE(groups));
}

module_init(vregcache_test_init);
module_exit(vregcache_test_exit);
VRC_IMPORT_FOR_TESTS();
MODULE_DESCRIPTION("Test hooks for vregcache, for its selftests only");
MODULE_LICENSE("GPL");
