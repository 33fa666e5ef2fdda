/* SPDX-License-Identifier: GPL-2.0 */
/* Module parameters that make the cache report each read: on or off, at any time. */
#ifndef VREGCACHE_LINUX_HIT_OBSERVATION_H
#define VREGCACHE_LINUX_HIT_OBSERVATION_H

#include <linux/jump_label.h>
#include <linux/moduleparam.h>

#include "host.h"

struct vrc_watch {
	u8 bit;				/* of vrc_watched_reads */
	struct static_key_false *key;	/* on while the parameter is, or NULL */
};

/* For module_param_cb(), with a struct vrc_watch. */
extern const struct kernel_param_ops vrc_watch_parameter;

#endif
