// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "faults.h"
#include "vm.h"

#define DEBUGFS		"/sys/kernel/debug"
#define CLEAR_WARN_ONCE	DEBUGFS "/clear_warn_once"
#define LOCKDEP_STATS	"/proc/lockdep_stats"

static void need_debugfs(void)
{
	if (access(CLEAR_WARN_ONCE, F_OK) && mount("debugfs", DEBUGFS, "debugfs", 0, NULL) && errno != EBUSY)
		die("debugfs");
}

static uint64_t count_in(const char *path, const char *name)
{
	unsigned long count;
	char found[64];
	FILE *file;

	need_debugfs();
	file = fopen(path, "r");
	if (!file)
		die("%s", path);
	while (fscanf(file, "%63s %lu", found, &count) == 2) {
		if (!strcmp(found, name)) {
			fclose(file);
			return count;
		}
	}
	errno = 0;
	die("%s has no line for %s", path, name);
}

uint64_t fault_count(const char *name)
{
	return count_in(DEBUGFS "/vregcache/faults", name);
}

uint64_t verified_count(const char *name)
{
	return count_in(DEBUGFS "/vregcache/verified", name);
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("writing to %s", path);
	close(fd);
}

void warn_again(void)
{
	need_debugfs();
	write_text(CLEAR_WARN_ONCE, "1");
}

void announce_reports(unsigned int count, const char *regex)
{
	char line[512];

	if ((size_t)snprintf(line, sizeof(line), "<5>vrc-expect: %s %u\n", regex, count) >= sizeof(line))
		die("the expression is too long");
	write_text("/dev/kmsg", line);
}

void fault_log_open(struct fault_log *log)
{
	log->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (log->fd < 0)
		die("/dev/kmsg");
	fault_log_skip(log);
}

void fault_log_skip(struct fault_log *log)
{
	if (lseek(log->fd, 0, SEEK_END) < 0)
		die("/dev/kmsg");
	log->lines = 0;
	log->reports = 0;
	log->delayed = 0;
	log->line[0] = 0;
	log->report[0] = 0;
}

/* The first line of any report, not only of an expected one. */
static int is_report(const char *text)
{
	return !strncmp(text, "WARNING: ", 9) || !strncmp(text, "BUG: ", 5);
}

void fault_log_read(struct fault_log *log)
{
	/* /dev/kmsg gives one record at a time: priority, number, time, flags; text. */
	char record[2048];
	ssize_t bytes;
	char *text;

	for (;;) {
		bytes = read(log->fd, record, sizeof(record) - 1);
		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0)
			break;
		record[bytes] = 0;
		text = strchr(record, ';');
		if (!text)
			continue;
		text++;
		text[strcspn(text, "\n")] = 0;
		if (!strncmp(text, "vregcache: ", 11)) {
			if (!log->lines++)
				snprintf(log->line, sizeof(log->line), "%.*s", (int)sizeof(log->line) - 1, text);
		} else if (is_report(text)) {
			if (!log->reports++)
				snprintf(log->report, sizeof(log->report), "%.*s", (int)sizeof(log->report) - 1, text);
		} else if (strstr(text, " report_delayed+0x")) {
			log->delayed++;
		}
	}
	/* EPIPE: records were overwritten before they were read. */
	if (errno != EAGAIN)
		die("/dev/kmsg");
}

void fault_log_close(struct fault_log *log)
{
	close(log->fd);
}

int parameter_set(const char *name, int on)
{
	char path[128];
	char was;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/vregcache/parameters/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (read(fd, &was, 1) != 1)
		die("%s", path);
	close(fd);
	write_text(path, on ? "1" : "0");
	return was == 'Y';
}

int lockdep_is_there(void)
{
	return !access(LOCKDEP_STATS, F_OK);
}

int lockdep_works(void)
{
	FILE *file = fopen(LOCKDEP_STATS, "r");
	char line[256];
	int works = -1;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		sscanf(line, " debug_locks: %d", &works);
	fclose(file);
	if (works < 0)
		die("%s does not report whether lockdep works", LOCKDEP_STATS);
	return works;
}
