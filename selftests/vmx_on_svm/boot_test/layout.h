/* SPDX-License-Identifier: GPL-2.0 */
/* Known to both start.S and boot_test.cc. */
#ifndef BOOT_TEST_LAYOUT_H
#define BOOT_TEST_LAYOUT_H

#define CODE32 0x08
#define DATA 0x10
#define CODE64 0x18
#define TASK_STATE 0x20

#define TRAMPOLINE 0x8000 /* where CPUs begin after SIPI */
#define CPU_LIMIT 64
#define STACK_SHIFT 12

#endif
