// SPDX-License-Identifier: GPL-2.0
/* A vCPU's VMCS, below the register cache, and host state that VM-exits change. */
#include <linux/uaccess.h>
#include <asm/desc.h>

#include "groups.h"
#include "../../src/test_hooks/exports.h"
#include "vregcache_test.h"

static long vmcs_read(void __user *argument)
{
	struct vrc_test_field field;
	vrc_u64 value;
	int error;

	if (copy_from_user(&field, argument, sizeof(field)))
		return -EFAULT;
	error = WITH_VCPU(field.vcpu, vrc_test_vmcs_read, field.encoding, &value);
	if (error)
		return error;
	field.value = value;
	return copy_to_user(argument, &field, sizeof(field)) ? -EFAULT : 0;
}

static long vmcs_write(void __user *argument)
{
	struct vrc_test_field field;

	if (copy_from_user(&field, argument, sizeof(field)))
		return -EFAULT;
	return WITH_VCPU(field.vcpu, vrc_test_vmcs_write, field.encoding, field.value);
}

static long vmcs_clear(void __user *argument)
{
	s32 vcpu;

	if (copy_from_user(&vcpu, argument, sizeof(vcpu)))
		return -EFAULT;
	return WITH_VCPU(vcpu, vrc_test_vmcs_clear);
}

static long host_tables(void __user *argument)
{
	struct vrc_test_tables tables = {};
	struct desc_ptr gdt, idt;

	native_store_gdt(&gdt);
	store_idt(&idt);
	tables.gdt_limit = gdt.size;
	tables.idt_limit = idt.size;
	tables.idt_base = idt.address;
	return copy_to_user(argument, &tables, sizeof(tables)) ? -EFAULT : 0;
}

static long fields_ioctl(unsigned int command, void __user *argument)
{
	switch (command) {
	case VRC_TEST_VMCS_READ:
		return vmcs_read(argument);
	case VRC_TEST_VMCS_WRITE:
		return vmcs_write(argument);
	case VRC_TEST_VMCS_CLEAR:
		return vmcs_clear(argument);
	case VRC_TEST_HOST_TABLES:
		return host_tables(argument);
	default:
		return -ENOTTY;
	}
}

const struct vrc_test_group vrc_test_fields = {
	.ioctl = fields_ioctl,
};
