// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "verification.h"
#include "vm.h"

#define VERIFY "/sys/module/vregcache/parameters/verify"

int verification_switch(int on)
{
	FILE *file = fopen(VERIFY, "r+");
	int was;

	if (!file)
		die(VERIFY);
	was = fgetc(file);
	rewind(file);
	if (fputs(on ? "1\n" : "0\n", file) < 0 || fclose(file))
		die("writing %d to %s", on, VERIFY);
	return was == 'Y';
}

uint64_t verification_count(const char *name, const char *line)
{
	char path[64], found[32];
	unsigned long value;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/debug/vregcache/%s", name);
	file = fopen(path, "r");
	if (!file)
		die("%s", path);
	while (fscanf(file, "%31s %lu", found, &value) == 2) {
		if (!strcmp(found, line)) {
			fclose(file);
			return value;
		}
	}
	die("%s has no line %s", path, line);
}
