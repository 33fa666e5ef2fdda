/* SPDX-License-Identifier: GPL-2.0 */
/* How often a test repeats a step that fails only now and then. */
#ifndef VREGCACHE_SELFTESTS_ROUNDS_H
#define VREGCACHE_SELFTESTS_ROUNDS_H

/* @full with VRC_FULL=1, as in `make check-full`; else a tenth of it, rounded up. */
unsigned int rounds(unsigned int full);

#endif
