// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpuid.h"

enum output { EAX, EBX, ECX, EDX };

static struct kvm_cpuid2 *new_entries(void)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		die("CPUID entries");
	cpuid->nent = MAX_CPUID_ENTRIES;
	return cpuid;
}

struct kvm_cpuid2 *cpuid_supported(int dev)
{
	struct kvm_cpuid2 *cpuid = new_entries();

	if (ioctl(dev, KVM_GET_SUPPORTED_CPUID, cpuid))
		die("KVM_GET_SUPPORTED_CPUID");
	return cpuid;
}

/* Linux 6.1's KVM leaves nent at the size of the buffer. */
static void drop_unused_entries(struct kvm_cpuid2 *cpuid)
{
	static const struct kvm_cpuid_entry2 unused;

	while (cpuid->nent && !memcmp(&cpuid->entries[cpuid->nent - 1], &unused, sizeof(unused)))
		cpuid->nent--;
}

struct kvm_cpuid2 *cpuid_of_vcpu(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = new_entries();

	if (ioctl(vcpu->fd, KVM_GET_CPUID2, cpuid))
		die("KVM_GET_CPUID2");
	if (!device_is_vregcache())
		drop_unused_entries(cpuid);
	return cpuid;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		int indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

		if (entry->function == function && (!indexed || entry->index == index))
			return entry;
	}
	return NULL;
}

static int has_bit(struct vcpu *vcpu, uint32_t function, uint32_t index, enum output output, int bit)
{
	struct kvm_cpuid2 *cpuid = cpuid_of_vcpu(vcpu);
	struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, function, index);
	uint32_t word = 0;

	if (entry && output == EAX)
		word = entry->eax;
	else if (entry && output == EBX)
		word = entry->ebx;
	else if (entry && output == ECX)
		word = entry->ecx;
	else if (entry)
		word = entry->edx;
	free(cpuid);
	return word >> bit & 1;
}

int vcpu_has_rdtscp(struct vcpu *vcpu)
{
	return has_bit(vcpu, 0x80000001, 0, EDX, 27);
}

int vcpu_has_xsave(struct vcpu *vcpu)
{
	return has_bit(vcpu, 1, 0, ECX, 26);
}

int vcpu_has_avx(struct vcpu *vcpu)
{
	return vcpu_has_xsave(vcpu) && has_bit(vcpu, 1, 0, ECX, 28);
}

int vcpu_has_pku(struct vcpu *vcpu)
{
	return has_bit(vcpu, 7, 0, ECX, 3);
}

int vcpu_has_fsgsbase(struct vcpu *vcpu)
{
	return has_bit(vcpu, 7, 0, EBX, 0);
}

int vcpu_has_xsaves(struct vcpu *vcpu)
{
	return has_bit(vcpu, 0xd, 1, EAX, 3);
}

int vcpu_has_la57(struct vcpu *vcpu)
{
	return has_bit(vcpu, 7, 0, ECX, 16);
}
