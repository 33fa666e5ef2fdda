// SPDX-License-Identifier: GPL-2.0
/* The table of exits in debugfs counts what a guest did, and what it cost. */
#include "lib/harness.h"
#include "lib/counters.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define CPUID_EXITS	1000
#define OUT_EXITS	200

FIXTURE(counters) {
	struct vm vm;
	struct vcpu vcpu;
	struct counters before;
	struct counters after;
};

/* CPUID RCX times, then OUT RBX times, then HLT. */
GUEST_ASM(count, 64,
	"	mov %ecx, %esi\n"
	"1:	xor %eax, %eax\n"
	"	push %rbx\n"
	"	cpuid\n"
	"	pop %rbx\n"
	"	dec %esi\n"
	"	jnz 1b\n"
	"2:	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	dec %ebx\n"
	"	jnz 2b\n"
	"	hlt\n");

FIXTURE_SETUP(counters)
{
	if (!device_is_vregcache())
		SKIP(return, "%s keeps no such table", device_path());
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, count);
	if (!counters_read(&self->before))
		SKIP(return, "%s is not there", counters_path());
}

FIXTURE_TEARDOWN(counters)
{
	if (!self->vm.fd)
		return;
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* The harness runs a test even when its setup was skipped. */
#define RETURN_IF_SKIPPED() do {	\
	if (_metadata->skip)		\
		return;			\
} while (0)

static void start(struct vcpu *vcpu, unsigned int cpuids, unsigned int outs)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rcx = cpuids, .rbx = outs,
	};

	vcpu_set_regs(vcpu, &regs);
}

static int run_to_hlt_through_outs(struct vcpu *vcpu)
{
	int reason;

	do {
		reason = vcpu_run(vcpu);
	} while (reason == KVM_EXIT_IO);
	return reason;
}

static uint64_t exits_since(const struct counters *before, const struct counters *after, const char *reason)
{
	return counters_find(after, reason).exits - counters_find(before, reason).exits;
}

TEST_F(counters, exits_are_counted_exactly)
{
	RETURN_IF_SKIPPED();
	start(&self->vcpu, CPUID_EXITS, OUT_EXITS);
	ASSERT_TRUE(counters_read(&self->before));
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->after));
	EXPECT_EQ((uint64_t)CPUID_EXITS, exits_since(&self->before, &self->after, "cpuid"));
	EXPECT_EQ((uint64_t)OUT_EXITS, exits_since(&self->before, &self->after, "io"));
	EXPECT_EQ(1U, exits_since(&self->before, &self->after, "hlt"));
	EXPECT_EQ(0U, exits_since(&self->before, &self->after, "triple_fault"));
}

TEST_F(counters, accesses_are_far_below_reading_every_register)
{
	struct counter cpuid;

	RETURN_IF_SKIPPED();
	start(&self->vcpu, CPUID_EXITS, 1);
	counters_reset();
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->after));
	cpuid = counters_find(&self->after, "cpuid");
	ASSERT_EQ((uint64_t)CPUID_EXITS, cpuid.exits);
	EXPECT_GT(cpuid.hits, 0U);
	/* RIP and the exit reason at least, and no more than the 7 reads that KVM makes. */
	EXPECT_GE(cpuid.vmreads, 2 * cpuid.exits);
	EXPECT_LE(cpuid.vmreads, 7 * cpuid.exits + 50);
	EXPECT_GE(cpuid.eager, 3 * cpuid.vmreads);
	/* RIP moves on each time; little else is written. */
	EXPECT_GE(cpuid.vmwrites, cpuid.exits - 1);
	EXPECT_LE(cpuid.vmwrites, 2 * cpuid.exits + 50);
}

TEST_F(counters, reset_clears_every_line)
{
	RETURN_IF_SKIPPED();
	start(&self->vcpu, 10, 10);
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->before));
	EXPECT_GE(counters_find(&self->before, "cpuid").exits, 10U);
	counters_reset();
	ASSERT_TRUE(counters_read(&self->after));
	for (unsigned int i = 0; i < self->after.count; i++) {
		const struct counter *line = &self->after.line[i];

		EXPECT_EQ(0U, line->exits + line->hits + line->vmreads + line->vmwrites + line->eager)
			TH_LOG("%s", line->reason);
	}
}

TEST_F(counters, gets_of_available_registers_are_hits_and_read_nothing)
{
	struct kvm_regs regs;
	struct counter first, then;

	RETURN_IF_SKIPPED();
	start(&self->vcpu, 1, 1);
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	/* The first get may read what the exit had no use for. */
	vcpu_get_regs(&self->vcpu, &regs);
	ASSERT_TRUE(counters_read(&self->before));
	for (int i = 0; i < 100; i++)
		vcpu_get_regs(&self->vcpu, &regs);
	ASSERT_TRUE(counters_read(&self->after));
	first = counters_total(&self->before);
	then = counters_total(&self->after);
	EXPECT_EQ(first.vmreads, then.vmreads);
	EXPECT_EQ(first.vmwrites, then.vmwrites);
	EXPECT_EQ(first.exits, then.exits);
	/* At least RIP, RSP and RFLAGS each time. */
	EXPECT_GE(then.hits, first.hits + 300);
}

TEST_F(counters, triple_fault_is_counted)
{
	RETURN_IF_SKIPPED();
	/* UD2, with an IDT that has nothing. */
	*(uint16_t *)vm_at(&self->vm, GUEST_CODE) = 0x0b0f;
	ASSERT_TRUE(counters_read(&self->before));
	ASSERT_EQ(KVM_EXIT_SHUTDOWN, vcpu_run(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->after));
	EXPECT_EQ(1U, exits_since(&self->before, &self->after, "triple_fault"));
}

TEST_HARNESS_MAIN
