// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "ports.h"

#define MAX_EXITS 20000

static void keep_out(struct vcpu *vcpu, struct port_log *log)
{
	size_t bytes = (size_t)vcpu->run->io.size * vcpu->run->io.count;

	if (bytes > PORT_LOG_BYTES - log->out_bytes)
		bytes = PORT_LOG_BYTES - log->out_bytes;
	memcpy(log->out + log->out_bytes, vcpu_io_data(vcpu), bytes);
	log->out_bytes += bytes;
}

static void answer_in(struct vcpu *vcpu, struct port_log *log)
{
	size_t bytes = (size_t)vcpu->run->io.size * vcpu->run->io.count;
	uint8_t *data = vcpu_io_data(vcpu);
	uint32_t single = IN_DATA32;
	size_t i;

	if (vcpu->run->io.port != PORT_TEST_DX + 1) {
		memcpy(data, &single, vcpu->run->io.size);
		return;
	}
	for (i = 0; i < bytes; i++)
		data[i] = log->in_string_bytes++;
}

/* Returns 1 to continue. */
static int handle_io(struct vcpu *vcpu, struct port_log *log, enum guest_end *end)
{
	struct kvm_run *run = vcpu->run;

	log->batches += run->io.count > 1;
	if (run->io.direction == KVM_EXIT_IO_IN) {
		answer_in(vcpu, log);
		return 1;
	}
	if (run->io.port == PORT_DONE) {
		*end = GUEST_END_DONE;
		return 0;
	}
	if (run->io.port == PORT_FAIL) {
		*end = GUEST_END_FAILED_CHECK;
		return 0;
	}
	keep_out(vcpu, log);
	return 1;
}

enum guest_end run_with_ports(struct vcpu *vcpu, struct port_log *log)
{
	enum guest_end end = GUEST_END_TOO_MANY_EXITS;
	int reason = -1;

	memset(log, 0, sizeof(*log));
	while (log->exits++ < MAX_EXITS) {
		reason = vcpu_run(vcpu);
		if (reason == KVM_EXIT_HLT) {
			log->hlts++;
			continue;
		}
		/* Without an in-kernel APIC, a lower CR8 may cause an exit to userspace. */
		if (reason == KVM_EXIT_SET_TPR)
			continue;
		if (reason == KVM_EXIT_IO && handle_io(vcpu, log, &end))
			continue;
		if (reason != KVM_EXIT_IO)
			end = GUEST_END_OTHER_EXIT;
		break;
	}
	if (end != GUEST_END_DONE) {
		struct kvm_regs regs;

		vcpu_get_regs(vcpu, &regs);
		fprintf(stderr, "# the guest stopped at its step %lu, exit reason %d, RIP %#llx, last exception %lu\n",
			vm_read64(vcpu->vm, GUEST_STEP) & 0xffffffff, reason, regs.rip,
			vm_read64(vcpu->vm, GUEST_EXC_RECORD + EXC_VECTOR) & 0xffffffff);
	}
	return end;
}
