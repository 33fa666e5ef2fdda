// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>

#include "rounds.h"

unsigned int rounds(unsigned int full)
{
	const char *given = getenv("VRC_FULL");

	return given && atoi(given) ? full : (full + 9) / 10;
}
