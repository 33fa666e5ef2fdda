/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_LIB_MACHINE_H
#define SELFTESTS_LIB_MACHINE_H

/*
 * 1 on QEMU's software CPU. It runs a guest's XSETBV without an exit, and arms
 * no breakpoints when it enters a guest.
 */
int machine_is_tcg(void);

/* 1 on Bochs, according to its BIOS. */
int machine_is_bochs(void);

#endif /* SELFTESTS_LIB_MACHINE_H */
