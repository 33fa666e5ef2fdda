// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpuid.h"
#include "vm.h"

static void set_supported_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->dev);

	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2");
	free(cpuid);
}

void vcpu_create_without_cpuid(struct vcpu *vcpu, struct vm *vm, uint32_t id)
{
	int run_size = ioctl(vm->dev, KVM_GET_VCPU_MMAP_SIZE, 0UL);

	if (run_size < (int)sizeof(struct kvm_run))
		die("KVM_GET_VCPU_MMAP_SIZE is %d", run_size);

	vcpu->vm = vm;
	vcpu->run_size = run_size;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		die("KVM_CREATE_VCPU %u", id);
	vcpu->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mapping the vCPU");
}

void vcpu_create(struct vcpu *vcpu, struct vm *vm, uint32_t id)
{
	vcpu_create_without_cpuid(vcpu, vm, id);
	set_supported_cpuid(vcpu);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->run_size);
	close(vcpu->fd);
	memset(vcpu, 0, sizeof(*vcpu));
}

/* No test expects these without saying so, and their details are lost later. */
static void explain_failure(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint32_t i;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		fprintf(stderr, "# KVM_EXIT_FAIL_ENTRY, hardware reason %#llx\n",
			run->fail_entry.hardware_entry_failure_reason);
	if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
		return;
	fprintf(stderr, "# KVM_EXIT_INTERNAL_ERROR, suberror %u:", run->internal.suberror);
	for (i = 0; i < run->internal.ndata && i < 16; i++)
		fprintf(stderr, " %#llx", run->internal.data[i]);
	fprintf(stderr, "\n");
}

int vcpu_run(struct vcpu *vcpu)
{
	if (ioctl(vcpu->fd, KVM_RUN, 0UL) < 0) {
		/* Older KVM does not set the exit reason for immediate_exit. */
		if (errno == EINTR && (vcpu->run->exit_reason == KVM_EXIT_INTR || vcpu->run->immediate_exit))
			return KVM_EXIT_INTR;
		die("KVM_RUN, exit reason %u", vcpu->run->exit_reason);
	}
	explain_failure(vcpu);
	return vcpu->run->exit_reason;
}

void vcpu_complete_io(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	/* So that die() does not print an old error. */
	errno = 0;
	if (vcpu_run(vcpu) != KVM_EXIT_INTR)
		die("immediate_exit gave exit reason %u", vcpu->run->exit_reason);
	vcpu->run->immediate_exit = 0;
}

void *vcpu_io_data(struct vcpu *vcpu)
{
	return (uint8_t *)vcpu->run + vcpu->run->io.data_offset;
}

int vcpu_is_io(struct vcpu *vcpu, int direction, uint16_t port, int size)
{
	struct kvm_run *run = vcpu->run;

	return run->exit_reason == KVM_EXIT_IO && run->io.direction == direction && run->io.port == port &&
	       run->io.size == size && run->io.count == 1;
}

int vcpu_run_to_hlt(struct vcpu *vcpu)
{
	int reason = vcpu_run(vcpu);

	return reason == KVM_EXIT_HLT ? 0 : reason;
}

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	if (ioctl(vcpu->fd, KVM_GET_REGS, regs))
		die("KVM_GET_REGS");
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	if (ioctl(vcpu->fd, KVM_SET_REGS, regs))
		die("KVM_SET_REGS");
}

void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	if (ioctl(vcpu->fd, KVM_GET_SREGS, sregs))
		die("KVM_GET_SREGS");
}

void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	if (ioctl(vcpu->fd, KVM_SET_SREGS, sregs))
		die("KVM_SET_SREGS");
}

void vcpu_set_rip(struct vcpu *vcpu, uint64_t rip)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rip = rip;
	vcpu_set_regs(vcpu, &regs);
}

struct one_msr {
	struct kvm_msrs header;
	struct kvm_msr_entry entry;
};

int vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	struct one_msr msr = { .header.nmsrs = 1, .entry.index = index };
	int done = ioctl(vcpu->fd, KVM_GET_MSRS, &msr);

	*value = msr.entry.data;
	return done == 1;
}

int vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct one_msr msr = { .header.nmsrs = 1, .entry = { .index = index, .data = value } };

	return ioctl(vcpu->fd, KVM_SET_MSRS, &msr) == 1;
}
