/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_LIB_CPUS_H
#define SELFTESTS_LIB_CPUS_H

/* Binds the calling thread to this CPU. 0, or -1 if there is no such CPU. */
int pin_to_cpu(int cpu);
/* Binds the calling thread to its current CPU, and returns that CPU. */
int pin_here(void);
/* An allowed CPU other than this one, or -1. */
int another_cpu(int cpu);

#endif /* SELFTESTS_LIB_CPUS_H */
