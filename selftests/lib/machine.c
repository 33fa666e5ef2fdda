// SPDX-License-Identifier: GPL-2.0
#include <cpuid.h>
#include <stdint.h>
#include <string.h>

#include "machine.h"

int machine_is_tcg(void)
{
	uint32_t maximum, name[3];

	__cpuid(0x40000000, maximum, name[0], name[1], name[2]);
	return !memcmp(name, "TCGTCGTCGTCG", sizeof(name));
}
