// SPDX-License-Identifier: GPL-2.0
/* Module parameters that make the cache report each read. */
#include <linux/kstrtox.h>
#include <linux/sysfs.h>

#include "hit_observation.h"

u8 vrc_watched_reads;

/* The kernel holds the lock of the module's parameters. */
static int set_watch(const char *value, const struct kernel_param *parameter)
{
	const struct vrc_watch *watch = parameter->arg;
	bool on = true;
	int error = value ? kstrtobool(value, &on) : 0;

	if (error)
		return error;
	/* The observer must be ready before reads are reported to it. */
	if (on && watch->key)
		static_branch_enable(watch->key);
	if (on)
		WRITE_ONCE(vrc_watched_reads, vrc_watched_reads | watch->bit);
	else
		WRITE_ONCE(vrc_watched_reads, vrc_watched_reads & ~watch->bit);
	if (!on && watch->key)
		static_branch_disable(watch->key);
	return 0;
}

static int get_watch(char *buffer, const struct kernel_param *parameter)
{
	const struct vrc_watch *watch = parameter->arg;

	return sysfs_emit(buffer, "%c\n", vrc_watched_reads & watch->bit ? 'Y' : 'N');
}

const struct kernel_param_ops vrc_watch_parameter = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_watch,
	.get = get_watch,
};
