/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_LIB_CPUS_H
#define SELFTESTS_LIB_CPUS_H

/* Binds the calling thread to this CPU. 0, or -1 when there is no such CPU. */
int pin_to_cpu(int cpu);
/* Binds the calling thread to the CPU that it is on, and answers which. */
int pin_here(void);
/* An allowed CPU other than this one, or -1. */
int another_cpu(int cpu);

#endif /* SELFTESTS_LIB_CPUS_H */
