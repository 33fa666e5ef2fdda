/* SPDX-License-Identifier: GPL-2.0 */
/* The groups of ioctls: sixteen numbers and a file for each, and a line in main.c. */
#ifndef VREGCACHE_TEST_GROUPS_H
#define VREGCACHE_TEST_GROUPS_H

#include <linux/file.h>

struct vrc_test_group {
	/* -ENOTTY: there is no ioctl of that number. */
	long (*ioctl)(unsigned int command, void __user *argument);
	/* Optional; called when the module is loaded and unloaded. */
	int (*begin)(void);
	void (*end)(void);
};

extern const struct vrc_test_group vrc_test_fields; /* fields.c */
extern const struct vrc_test_group vrc_test_faults; /* faults.c */
extern const struct vrc_test_group vrc_test_nmi; /* nmi.c */
extern const struct vrc_test_group vrc_test_contexts; /* context.c */
extern const struct vrc_test_group vrc_test_miss; /* miss.c */
extern const struct vrc_test_group vrc_test_hotplug; /* hotplug.c */
extern const struct vrc_test_group vrc_test_pointer; /* pointer.c */

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

#endif
