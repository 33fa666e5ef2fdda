// SPDX-License-Identifier: GPL-2.0
/* Counters of faults that must never happen. */
#include <linux/atomic.h>
#include <linux/seq_file.h>

#include "faults.h"

static atomic_long_t counts[VRC_FAULTS];

#define NAME_OF_CONTEXT(number, name, constant)	\
	[number] = "context_" #name

static const char *const names[] = {
	VRC_CONTEXT_KINDS(NAME_OF_CONTEXT),
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
