/* SPDX-License-Identifier: GPL-2.0 */
/* The module's reports of faults and comparisons: counters in debugfs, lines and WARNs in the kernel's log. */
#ifndef SELFTESTS_LIB_FAULTS_H
#define SELFTESTS_LIB_FAULTS_H

#include <stdint.h>

/* A line of /sys/kernel/debug/vregcache/faults. Dies if there is none of that name. */
uint64_t fault_count(const char *name);
/* The same for verified, which counts what verification has compared. */
uint64_t verified_count(const char *name);

/* Lets every WARN that is reported only once be reported once more. */
void warn_again(void);

/*
 * Announces to the checker of the kernel's log that exactly so many reports in which this regular expression is found
 * will come before the test program ends.
 */
void announce_reports(unsigned int count, const char *regex);

struct fault_log {
	int fd;
	/* The module's lines and the kernel's reports, and the first of each. */
	unsigned int lines;
	unsigned int reports;
	/* Backtrace lines of reports that an interrupt makes later, where the fault itself must not be reported. */
	unsigned int delayed;
	char line[1024];
	char report[1024];
};

void fault_log_open(struct fault_log *log);
/* Drops earlier messages. */
void fault_log_skip(struct fault_log *log);
/* Adds the messages since. */
void fault_log_read(struct fault_log *log);
void fault_log_close(struct fault_log *log);

/* Sets a module parameter that is Y or N. Returns the old value, or -1 if the module has none of that name. */
int parameter_set(const char *name, int on);

/* Whether the kernel has lockdep, and whether it is still active. */
int lockdep_is_there(void);
int lockdep_works(void);

#endif /* SELFTESTS_LIB_FAULTS_H */
