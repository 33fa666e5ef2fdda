// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <sched.h>

#include "cpus.h"
#include "vm.h"

int pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

int pin_here(void)
{
	int cpu = sched_getcpu();

	if (cpu < 0 || pin_to_cpu(cpu))
		die("CPU %d", cpu);
	return cpu;
}

int another_cpu(int cpu)
{
	cpu_set_t set;
	int other;

	if (sched_getaffinity(0, sizeof(set), &set))
		die("CPU affinity");
	for (other = 0; other < CPU_SETSIZE; other++) {
		if (other != cpu && CPU_ISSET(other, &set))
			return other;
	}
	return -1;
}
