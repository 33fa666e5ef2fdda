/* SPDX-License-Identifier: GPL-2.0 */
/* <linux/kvm.h> names this header, which the uapi folders do not have; it needs nothing of it. */
