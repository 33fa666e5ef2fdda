/* SPDX-License-Identifier: GPL-2.0 */
/* libstdc++'s configuration asks the C library for its version.  There is no C library in the kernel. */
#define __GLIBC_PREREQ(major, minor) 0
