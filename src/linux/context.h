/* SPDX-License-Identifier: GPL-2.0 */
/* The context in which a vCPU's register cache may be used. */
#ifndef VREGCACHE_LINUX_CONTEXT_H
#define VREGCACHE_LINUX_CONTEXT_H

#include <linux/percpu.h>
#include <linux/preempt.h>

#include "host.h"

/*
 * Mark the scheduler's callbacks.  Preemption is off there, which the preemption count shows; some kernels have none.
 */
#ifdef CONFIG_PREEMPT_COUNT
static inline void vrc_scheduler_enter(void) {}
static inline void vrc_scheduler_leave(void) {}
static inline bool vrc_in_scheduler(void)
{
	return preempt_count() != 0;
}
#else
DECLARE_PER_CPU(bool, vrc_scheduler_calls);
static inline void vrc_scheduler_enter(void)
{
	__this_cpu_write(vrc_scheduler_calls, true);
}

static inline void vrc_scheduler_leave(void)
{
	__this_cpu_write(vrc_scheduler_calls, false);
}

static inline bool vrc_in_scheduler(void)
{
	return raw_cpu_read(vrc_scheduler_calls);
}
#endif

/* Emits the trace event; in trace.c. */
void vrc_trace_context_violation(vrc_u32 vcpu, vrc_u32 kind, vrc_u32 operation, vrc_u32 reg, const void *site);

/* Before the module is unloaded. */
void vrc_context_end(void);

#endif
