// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "random.h"

static uint64_t state;

void random_start(void)
{
	const char *given = getenv("VRC_SEED");
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	state = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_sec * 1000000007 + now.tv_nsec;
	printf("# VRC_SEED=%#lx repeats this run\n", state);
	fflush(stdout);
}

/* SplitMix64: any state is valid, 0 included. */
uint64_t random64(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t random_below(uint32_t bound)
{
	return random64() % bound;
}

uint64_t random_register(void)
{
	static const uint64_t edges[] = {
		0, 1, ~0UL, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000,
	};

	if (random_below(4) == 0)
		return edges[random_below(sizeof(edges) / sizeof(edges[0]))];
	return random64();
}

uint64_t random_canonical(void)
{
	return (int64_t)(random64() << 16) >> 16;
}
