/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that a printed seed repeats: set VRC_SEED to repeat a run. */
#ifndef SELFTESTS_LIB_RANDOM_H
#define SELFTESTS_LIB_RANDOM_H

#include <stdint.h>

/* Seeds from VRC_SEED, or else from the clock, and prints the seed. */
void random_start(void);
uint64_t random64(void);
/* 0 up to bound - 1. */
uint32_t random_below(uint32_t bound);
/* A random value, often a boundary value. */
uint64_t random_register(void);
/* A linear address that a CPU with 48 linear-address bits accepts. */
uint64_t random_canonical(void);

#endif /* SELFTESTS_LIB_RANDOM_H */
