// SPDX-License-Identifier: GPL-2.0
/* The kernel log. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/bug.h>
#include <linux/module.h>
#include <linux/printk.h>

#include "kernel.h"

void vrc_host_error(const char *format, ...)
{
	struct va_format line;
	va_list arguments;

	va_start(arguments, format);
	line.fmt = format;
	line.va = &arguments;
	pr_err_ratelimited("%pV\n", &line);
	va_end(arguments);
}

void vrc_host_info(const char *format, ...)
{
	struct va_format line;
	va_list arguments;

	va_start(arguments, format);
	line.fmt = format;
	line.va = &arguments;
	pr_info("%pV\n", &line);
	va_end(arguments);
}

void vrc_host_warn(const char *what)
{
	WARN_ONCE(1, KBUILD_MODNAME ": %s\n", what);
}
