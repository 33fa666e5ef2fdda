// SPDX-License-Identifier: GPL-2.0
/* Counters of what must never happen. */
#include <linux/atomic.h>
#include <linux/seq_file.h>

#include "faults.h"

static atomic_long_t counts[VRC_FAULTS];

static const char *const names[] = {
	[VRC_FAULT_NMI] = "context_nmi",
	[VRC_FAULT_HARDIRQ] = "context_hardirq",
	[VRC_FAULT_SOFTIRQ] = "context_softirq",
	[VRC_FAULT_SCHEDULER] = "context_scheduler",
	[VRC_FAULT_FOREIGN_TASK] = "context_foreign_task",
	[VRC_FAULT_UNLOCKED] = "context_unlocked",
	[VRC_FAULT_MISMATCH] = "mismatch",
	[VRC_FAULT_WRONG_VMCS] = "wrong_vmcs",
};
static_assert(ARRAY_SIZE(names) == VRC_FAULTS);

void vrc_count_fault(enum vrc_fault fault)
{
	atomic_long_inc(&counts[fault]);
}

int vrc_faults_show(struct seq_file *output, void *unused)
{
	unsigned int i;

	for (i = 0; i < VRC_FAULTS; i++)
		seq_printf(output, "%s %ld\n", names[i], atomic_long_read(&counts[i]));
	return 0;
}
