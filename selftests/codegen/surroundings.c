// SPDX-License-Identifier: GPL-2.0
/* Definitions that the code under observation needs in order to link. None of it ever runs. */
#include <linux/module.h>
#include <linux/percpu.h>

#include "../../src/linux/trace.c"
#include "kvm_way.h"

DEFINE_PER_CPU(vrc_u64, vrc_current_vmcs);
vrc_u8 vrc_watched_reads;
vrc_u32 vrc_verify_period;
vrc_u64 vrc_verified[VRC_VERIFIED_KINDS];

DEFINE_STATIC_KEY_FALSE(vrc_check_context_key);
DEFINE_STATIC_KEY_FALSE(vrc_verify_key);

void vrc_check_context(const struct vrc_host_vcpu *vcpu, vrc_u32 what, const void *caller)
{
}

void vrc_report_mismatch(const struct vrc_mismatch *mismatch)
{
}

unsigned long vrc_host_irq_save(void)
{
	return 0;
}

void vrc_host_irq_restore(unsigned long flags)
{
}

void vrc_host_warn_no_register(unsigned int number)
{
}

void codegen_kvm_way_failed(unsigned long field)
{
}

static int __init codegen_init(void)
{
	return -ENODEV;
}
module_init(codegen_init);

MODULE_DESCRIPTION("Code to be read in its disassembly");
MODULE_LICENSE("GPL");
