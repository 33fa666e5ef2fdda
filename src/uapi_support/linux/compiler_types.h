/* SPDX-License-Identifier: GPL-2.0 */
/* The uapi <linux/stddef.h> names this header, which the uapi folders do not have. */
#ifndef __user
#define __user
#endif
#ifndef __force
#define __force
#endif
