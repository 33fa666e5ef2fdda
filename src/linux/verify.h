/* SPDX-License-Identifier: GPL-2.0 */
/* Verification: the numbers of comparisons. */
#ifndef VREGCACHE_LINUX_VERIFY_H
#define VREGCACHE_LINUX_VERIFY_H

struct seq_file;
/* A line for each kind: its name, and how many were compared since the module was loaded. */
int vrc_verified_show(struct seq_file *output, void *unused);

/* Before the module is unloaded: logs the numbers. */
void vrc_verify_end(void);

#endif
