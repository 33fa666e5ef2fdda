/* SPDX-License-Identifier: GPL-2.0 */
/* The module's table of exits and accesses, /sys/kernel/debug/vregcache/exits. */
#ifndef SELFTESTS_LIB_COUNTERS_H
#define SELFTESTS_LIB_COUNTERS_H

#include <stdint.h>

#define MAX_COUNTERS 80

struct counter {
	/* One word, such as cpuid or ept_violation. */
	char reason[48];
	uint64_t exits;
	/* Register reads that were served from memory; only while the module counts them. */
	int hits_are_counted;
	uint64_t hits;
	uint64_t vmreads;
	uint64_t vmwrites;
	/* VMREADs that reading every cached register at each exit would have made. */
	uint64_t eager;
};

struct counters {
	unsigned int count;
	struct counter line[MAX_COUNTERS];
};

/* VRC_COUNTERS, or the file in debugfs. */
const char *counters_path(void);
/* Returns 0 if there is no such file; dies if it cannot be parsed. */
int counters_read(struct counters *counters);
void counters_reset(void);
/* Turns the counting of hits on or off, from the next exit or ioctl of each vCPU on. Returns the old setting. */
int counters_count_hits(int on);
/* All zeroes if the table has no such line. */
struct counter counters_find(const struct counters *counters, const char *reason);
struct counter counters_total(const struct counters *counters);

#endif /* SELFTESTS_LIB_COUNTERS_H */
