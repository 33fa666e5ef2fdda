// SPDX-License-Identifier: GPL-2.0
/* The kernel log. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/bug.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/smp.h>

#ifdef VRC_TEST_HOOKS
#include "../test_hooks/exports.h"
#endif
#include "compat.h"
#include "host.h"

/* Userspace can cause errors as often as it likes. */
#ifdef VRC_TEST_HOOKS
DEFINE_RATELIMIT_STATE(vrc_log_limit, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);
VRC_EXPORT_FOR_TESTS(vrc_log_limit);
#else
static DEFINE_RATELIMIT_STATE(vrc_log_limit, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);
#endif

void vrc_host_error(const char *format, ...)
{
	struct va_format line;
	va_list arguments;

	if (!__ratelimit(&vrc_log_limit))
		return;
	va_start(arguments, format);
	line.fmt = format;
	line.va = &arguments;
	pr_err("%pV\n", &line);
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
	/* The WARN below is for the first only. */
	pr_err_ratelimited("CPU %u: %s\n", raw_smp_processor_id(), what);
	WARN_ONCE(1, KBUILD_MODNAME ": %s\n", what);
}

void vrc_host_warn_no_register(unsigned int number)
{
	WARN_ONCE(1, KBUILD_MODNAME ": no register has the number %u\n", number);
}
