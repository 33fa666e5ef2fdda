// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "counters.h"
#include "vm.h"

#define COUNT_HITS "/sys/module/vregcache/parameters/count_hits"
#define HEADER "reason exits hits vmreads vmwrites eager"

const char *counters_path(void)
{
	const char *path = getenv("VRC_COUNTERS");

	return path ? path : "/sys/kernel/debug/vregcache/exits";
}

static FILE *open_table(const char *mode)
{
	FILE *file = fopen(counters_path(), mode);

	if (file || errno != ENOENT)
		return file;
	/* A test may be the first to need debugfs. */
	if (mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL) && errno != EBUSY)
		return NULL;
	return fopen(counters_path(), mode);
}

static void parse_line(const char *text, struct counter *counter)
{
	char hits[24], *end;
	int fields = sscanf(text, "%47s %lu %23s %lu %lu %lu", counter->reason, &counter->exits, hits, &counter->vmreads,
			    &counter->vmwrites, &counter->eager);

	errno = 0;
	counter->hits_are_counted = strcmp(hits, "-") != 0;
	counter->hits = 0;
	if (fields == 6 && counter->hits_are_counted) {
		counter->hits = strtoull(hits, &end, 10);
		fields -= end == hits || *end;
	}
	if (fields != 6)
		die("%s: not a line of the table: %s", counters_path(), text);
}

int counters_count_hits(int on)
{
	FILE *file = fopen(COUNT_HITS, "r+");
	int was;

	if (!file)
		die(COUNT_HITS);
	was = fgetc(file);
	rewind(file);
	if (fputs(on ? "1\n" : "0\n", file) < 0 || fclose(file))
		die("writing %d to %s", on, COUNT_HITS);
	return was == 'Y';
}

int counters_read(struct counters *counters)
{
	FILE *file = open_table("r");
	char text[256];

	memset(counters, 0, sizeof(*counters));
	if (!file)
		return 0;
	errno = 0;
	if (!fgets(text, sizeof(text), file) || strncmp(text, HEADER, strlen(HEADER)))
		die("%s does not begin with \"%s\"", counters_path(), HEADER);
	while (fgets(text, sizeof(text), file)) {
		if (counters->count == MAX_COUNTERS)
			die("%s has too many lines", counters_path());
		parse_line(text, &counters->line[counters->count++]);
	}
	fclose(file);
	return 1;
}

void counters_reset(void)
{
	FILE *file = open_table("w");

	if (!file || fputs("0\n", file) < 0 || fclose(file))
		die("resetting %s", counters_path());
}

struct counter counters_find(const struct counters *counters, const char *reason)
{
	struct counter none = { .exits = 0 };
	unsigned int i;

	for (i = 0; i < counters->count; i++) {
		if (!strcmp(counters->line[i].reason, reason))
			return counters->line[i];
	}
	return none;
}

struct counter counters_total(const struct counters *counters)
{
	struct counter total = { .reason = "total" };
	unsigned int i;

	for (i = 0; i < counters->count; i++) {
		const struct counter *line = &counters->line[i];

		total.exits += line->exits;
		total.hits += line->hits;
		total.vmreads += line->vmreads;
		total.vmwrites += line->vmwrites;
		total.eager += line->eager;
	}
	return total;
}
