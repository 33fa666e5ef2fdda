// SPDX-License-Identifier: GPL-2.0
/* The table of exits in debugfs counts a guest's exits and their cost. */
#include "lib/harness.h"
#include "lib/counters.h"
#include "lib/modes.h"
#include "lib/rounds.h"
#include "lib/vm.h"

#define CPUID_EXITS	rounds(1000)
#define OUT_EXITS	rounds(200)

FIXTURE(counters) {
	struct vm vm;
	struct vcpu vcpu;
	struct counters before;
	struct counters after;
	int hits_were_counted;
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
		SKIP(return, "%s has no such table", device_path());
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, count);
	if (!counters_read(&self->before))
		SKIP(return, "%s does not exist", counters_path());
	self->hits_were_counted = counters_count_hits(1);
}

FIXTURE_TEARDOWN(counters)
{
	if (!self->vm.fd)
		return;
	counters_count_hits(self->hits_were_counted);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

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

TEST_F(counters, cache_avoids_most_vmreads)
{
	struct counter cpuid;

	RETURN_IF_SKIPPED();
	/* The pages are mapped before anything is counted. */
	start(&self->vcpu, 1, 1);
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	start(&self->vcpu, CPUID_EXITS, 1);
	counters_reset();
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->after));
	cpuid = counters_find(&self->after, "cpuid");
	ASSERT_EQ((uint64_t)CPUID_EXITS, cpuid.exits);
	EXPECT_TRUE(cpuid.hits_are_counted);
	/* CPUID reads the read shadow of CR4 each time. */
	EXPECT_GE(cpuid.hits, cpuid.exits);
	/* accesses_test.c lists each of them, and those of the other exits. */
	EXPECT_EQ(5 * cpuid.exits, cpuid.vmreads);
	EXPECT_EQ(cpuid.exits, cpuid.vmwrites);
	EXPECT_EQ(64 * cpuid.exits, cpuid.eager);
}

TEST_F(counters, hits_are_counted_only_on_request)
{
	struct counter cpuid;

	RETURN_IF_SKIPPED();
	EXPECT_EQ(1, counters_count_hits(0));
	EXPECT_EQ(0, counters_count_hits(0));
	counters_reset();
	start(&self->vcpu, CPUID_EXITS, 1);
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->before));
	cpuid = counters_find(&self->before, "cpuid");
	EXPECT_EQ((uint64_t)CPUID_EXITS, cpuid.exits);
	EXPECT_FALSE(cpuid.hits_are_counted);
	/* Nor were they counted without being shown. */
	EXPECT_EQ(0, counters_count_hits(1));
	ASSERT_TRUE(counters_read(&self->before));
	cpuid = counters_find(&self->before, "cpuid");
	EXPECT_TRUE(cpuid.hits_are_counted);
	EXPECT_EQ(0U, cpuid.hits);
	/* The switch takes effect on an existing vCPU. */
	start(&self->vcpu, CPUID_EXITS, 1);
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->after));
	EXPECT_GE(counters_find(&self->after, "cpuid").hits, (uint64_t)CPUID_EXITS);
}

TEST_F(counters, counts_outlive_their_vcpu)
{
	struct vcpu second;

	RETURN_IF_SKIPPED();
	vcpu_create(&second, &self->vm, 1);
	vcpu_enter_long(&second);
	start(&second, 300, 1);
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&second));
	ASSERT_TRUE(counters_read(&self->before));
	vcpu_destroy(&second);
	ASSERT_TRUE(counters_read(&self->after));
	ASSERT_EQ(self->before.count, self->after.count);
	for (unsigned int i = 0; i < self->after.count; i++) {
		const struct counter *before = &self->before.line[i], *after = &self->after.line[i];

		EXPECT_STREQ(before->reason, after->reason);
		EXPECT_EQ(before->exits, after->exits) TH_LOG("%s", after->reason);
		EXPECT_EQ(before->hits, after->hits) TH_LOG("%s", after->reason);
		EXPECT_EQ(before->vmreads, after->vmreads) TH_LOG("%s", after->reason);
		EXPECT_EQ(before->vmwrites, after->vmwrites) TH_LOG("%s", after->reason);
	}
	EXPECT_GE(counters_find(&self->after, "cpuid").exits, 300U);
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

TEST_F(counters, gets_of_available_registers_are_hits)
{
	struct kvm_regs regs;
	struct counter first, then;

	RETURN_IF_SKIPPED();
	start(&self->vcpu, 1, 1);
	ASSERT_EQ(KVM_EXIT_HLT, run_to_hlt_through_outs(&self->vcpu));
	/* The first get may read registers that the exit did not need. */
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
	/* UD2 with an empty IDT. */
	*(uint16_t *)vm_at(&self->vm, GUEST_CODE) = 0x0b0f;
	ASSERT_TRUE(counters_read(&self->before));
	ASSERT_EQ(KVM_EXIT_SHUTDOWN, vcpu_run(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->after));
	EXPECT_EQ(1U, exits_since(&self->before, &self->after, "triple_fault"));
}

TEST_HARNESS_MAIN
