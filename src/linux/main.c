// SPDX-License-Identifier: GPL-2.0
/* Loading and unloading the module. */
#include <linux/module.h>
#include <linux/preempt.h>

#include "context.h"
#include "hit_observation.h"
#include "objects.h"
#include "verify.h"

static bool unsafe;
module_param(unsafe, bool, 0444);
MODULE_PARM_DESC(unsafe, "load even if the CPU has a vulnerability that the module does not mitigate (default: no)");

static struct vrc_watch count_hits = { .bit = VRC_WATCH_HITS };
module_param_cb(count_hits, &vrc_watch_parameter, &count_hits, 0644);
__MODULE_PARM_TYPE(count_hits, "bool");
MODULE_PARM_DESC(count_hits, "also count cache hits, which makes them slower (default: no)");

static int __init vregcache_init(void)
{
	bool beside_kvm;
	int error;

	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		pr_err("vregcache: not loaded: it has not been tested on a kernel with CONFIG_PREEMPT_RT\n");
		return -EOPNOTSUPP;
	}
	error = vrc_vmx_owner_start(&beside_kvm);
	if (error)
		return error;
	error = vrc_init(beside_kvm, unsafe);
	if (error)
		goto stop_owner;
	preempt_notifier_inc();
	error = vrc_cpus_start();
	if (error)
		goto exit_machine;
	error = vrc_perf_start();
	if (error)
		goto stop_cpus;
	error = vrc_device_register();
	if (error)
		goto stop_perf;
	vrc_debugfs_register();
	vrc_vmx_owner_log();
	return 0;

stop_perf:
	vrc_perf_stop();
stop_cpus:
	vrc_cpus_stop();
exit_machine:
	preempt_notifier_dec();
	vrc_exit();
stop_owner:
	vrc_vmx_owner_stop();
	return error;
}

/* No file is open: each holds a reference to the module. */
static void __exit vregcache_exit(void)
{
	long pages, blocks;

	vrc_debugfs_unregister();
	vrc_device_unregister();
	vrc_perf_stop();
	vrc_cpus_stop();
	preempt_notifier_dec();
	vrc_exit();
	vrc_vmx_owner_stop();
	vrc_context_end();
	vrc_verify_end();
	vrc_memory_in_use(&pages, &blocks);
	WARN(pages || blocks, "vregcache leaked %ld pages and %ld blocks of memory\n", pages, blocks);
}

module_init(vregcache_init);
module_exit(vregcache_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A register cache in front of the VMCS, on raw VMREAD and VMWRITE");
MODULE_AUTHOR("The vregcache developers");
