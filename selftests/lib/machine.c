// SPDX-License-Identifier: GPL-2.0
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

int machine_is_tcg(void)
{
	uint32_t maximum, name[3];

	__cpuid(0x40000000, maximum, name[0], name[1], name[2]);
	return !memcmp(name, "TCGTCGTCGTCG", sizeof(name));
}

int machine_is_bochs(void)
{
	const char *told = getenv("VRC_MACHINE");
	char vendor[64] = "";
	FILE *file;

	if (told)
		return !strcmp(told, "bochs");
	file = fopen("/sys/class/dmi/id/bios_vendor", "r");
	if (file) {
		if (!fgets(vendor, sizeof(vendor), file))
			vendor[0] = 0;
		fclose(file);
	}
	return !strncmp(vendor, "The Bochs Project", 17) || !strncmp(vendor, "Bochs", 5);
}
