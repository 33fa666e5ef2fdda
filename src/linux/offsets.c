// SPDX-License-Identifier: GPL-2.0
/* Constants of kernel headers that the C++ part needs; the build turns them into offsets_generated.h. */
#define COMPILE_OFFSETS
#include <linux/kbuild.h>
#include <linux/stddef.h>
#include <linux/tracepoint-defs.h>
#include <asm/desc_defs.h>
#include <asm/extable_fixup_types.h>
#include <asm/segment.h>

#include "compat.h"

int main(void)
{
	DEFINE(VRC_EX_TYPE_DEFAULT, EX_TYPE_DEFAULT);
	DEFINE(VRC_KERNEL_CS, __KERNEL_CS);
	DEFINE(VRC_KERNEL_DS, __KERNEL_DS);
	DEFINE(VRC_TSS_SELECTOR, GDT_ENTRY_TSS * 8);
	DEFINE(VRC_GDT_LIMIT, GDT_SIZE - 1);
	DEFINE(VRC_IDT_LIMIT, IDT_ENTRIES * sizeof(gate_desc) - 1);
	DEFINE(VRC_TRACEPOINT_KEY, offsetof(struct tracepoint, key));
#ifdef VRC_KERNEL_SWITCHES_GUEST_FPU
	DEFINE(VRC_FPU_IN_WINDOW_ONLY, 0);
#else
	DEFINE(VRC_FPU_IN_WINDOW_ONLY, 1);
#endif
	DEFINE(VRC_STATIC_KEY_ENABLED, offsetof(struct static_key, enabled));
	return 0;
}
