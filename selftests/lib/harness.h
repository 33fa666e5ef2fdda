/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's own test harness, found through the include path so that the
 * tests build in and out of the kernel tree. Its macros were written for a
 * build without -Wextra: as a system header they keep their warnings.
 */
#pragma GCC system_header
#include "kselftest_harness.h"

/* The harness runs a test even if its setup was skipped. */
#define RETURN_IF_SKIPPED() do {	\
	if (_metadata->skip)		\
		return;			\
} while (0)
