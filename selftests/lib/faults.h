/* SPDX-License-Identifier: GPL-2.0 */
/* What the module says of faults, and of what it compared: counters in debugfs, lines and WARNs in the kernel's log. */
#ifndef SELFTESTS_LIB_FAULTS_H
#define SELFTESTS_LIB_FAULTS_H

#include <stdint.h>

/* A line of /sys/kernel/debug/vregcache/faults. Dies when there is none of that name. */
uint64_t fault_count(const char *name);
/* The same of verified, which says what verification has compared. */
uint64_t verified_count(const char *name);

/* Every WARN that comes only once may come once more. */
void warn_again(void);

/*
 * Tells whoever judges the kernel's log that exactly so many reports will come, before the test program ends, in which
 * this regular expression is found.
 */
void announce_reports(unsigned int count, const char *regex);

struct fault_log {
	int fd;
	/* Lines of the module's, and what the kernel has to complain of; the first of each. */
	unsigned int lines;
	unsigned int reports;
	/* Lines of back traces of who tells later, from an interrupt of his own, what he must not tell where it happens. */
	unsigned int told_late;
	char line[1024];
	char report[1024];
};

void fault_log_open(struct fault_log *log);
/* Forgets what there was. */
void fault_log_skip(struct fault_log *log);
/* Adds what has come since. */
void fault_log_read(struct fault_log *log);
void fault_log_close(struct fault_log *log);

/* A module parameter that is Y or N. Answers what it was; -1 when the module has none of that name. */
int parameter_set(const char *name, int on);

/* Is lockdep in the kernel? And is it in service still? */
int lockdep_is_there(void);
int lockdep_works(void);

#endif /* SELFTESTS_LIB_FAULTS_H */
