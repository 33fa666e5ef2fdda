/* SPDX-License-Identifier: GPL-2.0 */
/* The module's verification mode. What cannot be read or written ends the test program. */
#ifndef SELFTESTS_LIB_VERIFICATION_H
#define SELFTESTS_LIB_VERIFICATION_H

#include <stdint.h>

/*
 * Switches it, for registers from the next exit or ioctl of each vCPU on.
 * Answers what it was. Tests that change a VMCS behind the cache switch it off.
 */
int verification_switch(int on);
/* A line of debugfs faults (mismatch, wrong_vmcs) or verified (hits, registers, shadows). */
uint64_t verification_count(const char *file, const char *line);

#endif /* SELFTESTS_LIB_VERIFICATION_H */
