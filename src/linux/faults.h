/* SPDX-License-Identifier: GPL-2.0 */
/* Faults that must never happen: counted, and reported once. */
#ifndef VREGCACHE_LINUX_FAULTS_H
#define VREGCACHE_LINUX_FAULTS_H

#include <linux/bug.h>

#include "names.h"

#define VRC_FAULT_OF_CONTEXT(number, name, constant) VRC_FAULT_##constant = (number)

enum vrc_fault {
	/* The register cache was used in a wrong context; the first kind that applies. */
	VRC_CONTEXT_KINDS(VRC_FAULT_OF_CONTEXT),
	/* A register's value in memory differs from the VMCS. */
	VRC_FAULT_MISMATCH,
	VRC_FAULT_WRONG_VMCS,
	VRC_FAULTS,
	VRC_NO_FAULT = VRC_FAULTS
};

/* In any context. */
void vrc_count_fault(enum vrc_fault fault);

struct seq_file;
/* A line for each fault: its name, and how often it happened since the module was loaded. */
int vrc_faults_show(struct seq_file *output, void *unused);

/*
 * Whether the next WARN_ON_ONCE() in this function will print.  For a message that belongs to it: so that both are
 * printed again after debugfs clear_warn_once was written.  The function must have no other BUG or WARN, and must exist
 * once (noinline, __noclone): the label is where the kernel's table continues with this function's entry.
 */
#ifdef CONFIG_GENERIC_BUG
#define VRC_WARN_IS_NEW()								\
	({										\
		const struct bug_entry *entry_;						\
											\
		asm volatile(".pushsection __bug_table, \"aw\"\n"			\
			     ".Lvrc_warn%=:\n\t"					\
			     ".popsection\n\t"						\
			     "lea .Lvrc_warn%=(%%rip), %0" : "=r"(entry_));		\
		!(READ_ONCE(entry_->flags) & BUGFLAG_DONE);				\
	})
#else
#define VRC_WARN_IS_NEW()				\
	({						\
		static unsigned long printed_;		\
							\
		!test_and_set_bit(0, &printed_);		\
	})
#endif

#endif
