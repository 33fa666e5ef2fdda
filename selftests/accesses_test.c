// SPDX-License-Identifier: GPL-2.0
/*
 * The exact cost of each exit in VMREADs and VMWRITEs: first the steady state, in which nothing but the exit itself
 * happens; then what other activity adds; then the cost of reads and writes of state by userspace. The numbers are the
 * module's own, from debugfs, over thousands of exits. The host's interrupts occur in between and have a line of their
 * own.
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "lib/harness.h"
#include "lib/counters.h"
#include "lib/cpus.h"
#include "lib/event_log.h"
#include "lib/modes.h"
#include "lib/rounds.h"
#include "lib/vm.h"

#define EXITS		rounds(2000)
/* Timeout, in seconds, of tests with more exits: slow in an emulator, with lockdep, and even more with verification. */
#define SLOW		120
#define PAGES_GPA	0x1000000UL
#define RFLAGS_RF	0x10000UL

/* MSRs: one that VM-entry loads from the VMCS, two that it does not. */
#define MSR_SYSENTER_EIP	0x176
#define MSR_STAR		0xc0000081
#define MSR_KERNEL_GS_BASE	0xc0000102

/* Each guest executes its instruction RBP times, then ends with an OUT. R15 points to an untouched page. */
#define LOOP_GUEST(name, text)								\
	GUEST_ASM(name, 64,								\
		"1:	" text "\n"							\
		"	dec %ebp\n"							\
		"	jnz 1b\n"							\
		"	outb %al, $" GUEST_STRING(PORT_DONE) "\n")

LOOP_GUEST(cpuid, "xor %eax, %eax\n cpuid");
LOOP_GUEST(rdmsr, "rdmsr");
LOOP_GUEST(wrmsr, "mov %r8d, %eax\n mov %r9d, %edx\n wrmsr");
LOOP_GUEST(wrmsr_new, "mov %ebp, %eax\n xor %edx, %edx\n wrmsr");
LOOP_GUEST(hlt, "hlt");
LOOP_GUEST(out, "outb %al, $" GUEST_STRING(PORT_TEST));
LOOP_GUEST(in, "inl $" GUEST_STRING(PORT_TEST) ", %eax");
LOOP_GUEST(vmcall, "vmcall");
LOOP_GUEST(wbinvd, "wbinvd");
/* CR0.MP, which no paging mode depends on. */
LOOP_GUEST(mov_cr0, "mov %cr0, %rax\n xor $2, %rax\n mov %rax, %cr0");
LOOP_GUEST(touch, "mov %r15, (%r15)\n add $4096, %r15");
/* Long enough for some of the host's timer ticks. */
LOOP_GUEST(spin, "mov $20000, %ecx\n 2: dec %ecx\n jnz 2b");
LOOP_GUEST(sti_hlt, "cli\n sti\n hlt");
LOOP_GUEST(mov_ss_cpuid, "xor %eax, %eax\n mov %ss, %ecx\n mov %ecx, %ss\n cpuid");
/* Interrupt 0x30 with an unmapped stack: an exit interrupts the delivery. */
LOOP_GUEST(int_to_new_stack, "mov %rsp, %r10\n lea 4096(%r15), %rsp\n int $0x30\n mov %r10, %rsp\n add $4096, %r15");
/* Traps after each instruction; the hypervisor must raise the one after CPUID. */
LOOP_GUEST(tf_cpuid, "pushf\n orl $0x100, (%rsp)\n popf\n cpuid\n pushf\n andl $~0x100, (%rsp)\n popf");
LOOP_GUEST(cli_out_sti, "cli\n outb %al, $" GUEST_STRING(PORT_TEST) "\n sti\n nop\n nop");
/* E6 20 EB FC means the same in every mode. */
GUEST_ASM(out_for_ever, 64, "1: outb %al, $" GUEST_STRING(PORT_TEST) "\n jmp 1b\n");
/* As 64-bit guests do: null selectors make unusable segments. */
GUEST_ASM(null_selectors, 64,
	"	xor %eax, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %fs\n"
	"	mov %eax, %gs\n"
	"1:	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	jmp 1b\n");

FIXTURE(accesses) {
	struct vm vm;
	struct vcpu vcpu;
	struct counters counters;
	uint8_t *pages;
};

FIXTURE_SETUP(accesses)
{
	if (!device_is_vregcache())
		SKIP(return, "%s has no such table", device_path());
	/* On another CPU the host state would have to be written. */
	pin_here();
	vm_create(&self->vm, GUEST_MEM_SIZE);
	self->pages = host_alloc((EXITS + 1) * PAGE_BYTES);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, PAGES_GPA, (EXITS + 1) * PAGE_BYTES, self->pages));
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vcpu_install_event_log(&self->vcpu);
	ASSERT_TRUE(counters_read(&self->counters));
}

FIXTURE_TEARDOWN(accesses)
{
	if (!self->vm.fd)
		return;
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->pages, (EXITS + 1) * PAGE_BYTES);
}

static struct counter line(const char *reason)
{
	struct counters counters;

	if (!counters_read(&counters))
		die("%s", counters_path());
	return counters_find(&counters, reason);
}

static struct counter total(void)
{
	struct counters counters;

	if (!counters_read(&counters))
		die("%s", counters_path());
	return counters_total(&counters);
}

/* Bochs takes no exit for interrupts while IF is clear, so IF is set in all guests but those that need it clear. */
static void start(struct vcpu *vcpu, const struct kvm_regs *more, uint64_t exits)
{
	struct kvm_regs regs = *more;

	regs.rip = GUEST_CODE;
	regs.rsp = GUEST_STACK;
	regs.rflags = RFLAGS_FIXED | RFLAGS_IF;
	regs.rbp = exits;
	vcpu_set_regs(vcpu, &regs);
}

/* Runs to the guest's last OUT. Returns 0 if the run ends in another way. */
static int run_to_end(struct vcpu *vcpu)
{
	for (;;) {
		switch (vcpu_run(vcpu)) {
		case KVM_EXIT_HLT:
			break;
		case KVM_EXIT_IO:
			if (vcpu->run->io.port == PORT_DONE)
				return 1;
			break;
		default:
			return 0;
		}
	}
}

/* Runs once to map the guest's own pages, then EXITS times, counted, with R15 after the page of the first run. */
#define measure(regs_) do {								\
	struct kvm_regs regs = (regs_);							\
											\
	regs.r15 = PAGES_GPA;								\
	start(&self->vcpu, &regs, 1);							\
	ASSERT_TRUE(run_to_end(&self->vcpu));						\
	regs.r15 = PAGES_GPA + PAGE_BYTES;						\
	start(&self->vcpu, &regs, EXITS);						\
	counters_reset();								\
	ASSERT_TRUE(run_to_end(&self->vcpu));						\
} while (0)

#define expect_cost(reason_, count_, reads_, writes_) do {				\
	struct counter seen = line(reason_);						\
											\
	EXPECT_EQ((uint64_t)(count_), seen.exits) TH_LOG("%s: exits", reason_);		\
	EXPECT_EQ((uint64_t)(count_) * (reads_), seen.vmreads) TH_LOG("%s: VMREADs", reason_);	\
	EXPECT_EQ((uint64_t)(count_) * (writes_), seen.vmwrites) TH_LOG("%s: VMWRITEs", reason_); \
} while (0)

/* The cost that is reached, which is at or below the one that is allowed. */
#define STEADY(test, guest, reason, reads, writes, reads_allowed, writes_allowed, ...)	\
TEST_F(accesses, test)									\
{											\
	RETURN_IF_SKIPPED();								\
	ASSERT_TRUE((reads) <= (reads_allowed) && (writes) <= (writes_allowed));	\
	vm_load(&self->vm, GUEST_CODE, guest);						\
	measure(((struct kvm_regs) { __VA_ARGS__ }));					\
	expect_cost(reason, EXITS, reads, writes);					\
}

/* Read: reason, RIP, instruction length, interruptibility, RFLAGS; written: RIP. */
STEADY(cpuid, cpuid, "cpuid", 5, 1, 5, 1, .rcx = 0)
STEADY(rdmsr_of_an_msr_in_the_vmcs, rdmsr, "rdmsr", 5, 1, 5, 1, .rcx = MSR_SYSENTER_EIP)
STEADY(rdmsr_of_an_msr_in_memory, rdmsr, "rdmsr", 5, 1, 5, 1, .rcx = MSR_STAR)
STEADY(rdmsr_of_an_msr_in_the_cpu, rdmsr, "rdmsr", 5, 1, 5, 1, .rcx = MSR_KERNEL_GS_BASE)
STEADY(wrmsr_of_an_msr_in_the_cpu, wrmsr_new, "wrmsr", 5, 1, 5, 1, .rcx = MSR_STAR)
STEADY(wrmsr_of_the_same_value, wrmsr, "wrmsr", 5, 1, 5, 1, .rcx = MSR_SYSENTER_EIP, .r8 = 0x1234)
STEADY(hlt_to_userspace_and_back, hlt, "hlt", 5, 1, 5, 1, .rcx = 0)
STEADY(vmcall, vmcall, "vmcall", 5, 1, 6, 1, .rcx = 0)
STEADY(wbinvd, wbinvd, "wbinvd", 5, 1, 5, 1, .rcx = 0)
/* The qualification is read as well; CR0 and its read shadow are written. */
STEADY(mov_to_cr0, mov_cr0, "cr_access", 6, 3, 7, 3, .rcx = 0)
/* Read: reason, qualification, guest-physical address, IDT-vectoring information. */
STEADY(ept_violation, touch, "ept_violation", 4, 0, 4, 0, .rcx = 0)

/* The qualification is read as well. The first exit is not counted; the OUT that ends the guest is. */
static void run_from_second_exit(struct vcpu *vcpu)
{
	start(vcpu, &(struct kvm_regs) { .rcx = 0 }, EXITS + 1);
	if (vcpu_run(vcpu) != KVM_EXIT_IO)
		die("the guest's first exit is not I/O");
	counters_reset();
	if (!run_to_end(vcpu))
		die("the guest did not end");
}

TEST_F(accesses, out_to_userspace_and_back)
{
	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, out);
	run_from_second_exit(&self->vcpu);
	expect_cost("io", EXITS + 1, 6, 1);
}

TEST_F(accesses, in_from_userspace)
{
	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, in);
	run_from_second_exit(&self->vcpu);
	expect_cost("io", EXITS + 1, 6, 1);
}

/* Only the reason is read. */
TEST_F(accesses, external_interrupt)
{
	struct counter interrupts;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, spin);
	measure((struct kvm_regs) { .rcx = 0 });
	interrupts = line("external_interrupt");
	EXPECT_GE(interrupts.exits, 2U);
	EXPECT_EQ(interrupts.exits, interrupts.vmreads);
	EXPECT_EQ(0U, interrupts.vmwrites);
}

/* ---- outside the steady state: additional accesses ---- */

/* The MSR's field is written. */
STEADY(wrmsr_of_a_new_value_in_the_vmcs, wrmsr_new, "wrmsr", 5, 2, 5, 2, .rcx = MSR_SYSENTER_EIP)
/* The blocking ends: interruptibility is written. */
STEADY(hlt_behind_sti, sti_hlt, "hlt", 5, 2, 5, 2, .rcx = 0)
/* Also, pending debug exceptions are read: MOV SS may have held one back. */
STEADY(cpuid_behind_mov_ss, mov_ss_cpuid, "cpuid", 6, 2, 6, 2, .rcx = 0)
/*
 * RF ends with the instruction: RFLAGS is written. The software CPUs never show RF at an exit, so userspace sets it for
 * the OUT that it completes.
 */
TEST_F(accesses, out_with_rf)
{
	struct kvm_regs regs;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, out_for_ever);
	start(&self->vcpu, &(struct kvm_regs) { .rcx = 0 }, 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	counters_reset();
	for (unsigned int i = 0; i < EXITS; i++) {
		regs.rflags |= RFLAGS_RF;
		vcpu_set_regs(&self->vcpu, &regs);
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		vcpu_get_regs(&self->vcpu, &regs);
		ASSERT_EQ(0U, regs.rflags & RFLAGS_RF);
	}
	ASSERT_EQ(EXITS, line("io").exits);
	/* KVM_GET_REGS also reads RSP. */
	EXPECT_EQ(EXITS * 7, line("io").vmreads);
	EXPECT_EQ(EXITS * 2, line("io").vmwrites);
}

/*
 * The event is injected again: its instruction's length is read; interruption information is written, and the length,
 * which stays the same, only once.
 */
TEST_F_TIMEOUT(accesses, ept_violation_in_event_delivery, SLOW)
{
	struct counter violations;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, int_to_new_stack);
	measure((struct kvm_regs) { .rcx = 0 });
	violations = line("ept_violation");
	ASSERT_EQ((uint64_t)EXITS, violations.exits);
	EXPECT_EQ((uint64_t)EXITS * 5, violations.vmreads);
	EXPECT_EQ((uint64_t)EXITS, violations.vmwrites);
	EXPECT_EQ(EXITS + 1UL, event_count(&self->vm));
}

/* IRET ended blocking by NMI before it exited: interruptibility is read and written. */
TEST_F(accesses, ept_violation_of_iret_from_an_nmi)
{
	const unsigned int turns = rounds(200);
	struct counter violations, before;
	struct kvm_regs regs;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, out_for_ever);
	start(&self->vcpu, &(struct kvm_regs) { .rcx = 0 }, 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	for (unsigned int i = 0; i <= turns; i++) {
		uint8_t *frame = self->pages + i * PAGE_BYTES + 0x100;

		/* After the first round the handler's pages are mapped. */
		if (i == 1)
			before = line("ept_violation");
		vm_write64(&self->vm, EVENT_NMI_FRAME, PAGES_GPA + i * PAGE_BYTES + 0x100);
		ASSERT_EQ(0, ioctl_errno(self->vcpu.fd, KVM_NMI, 0));
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		ASSERT_EQ(PORT_EVENT, self->vcpu.run->io.port);
		vcpu_get_regs(&self->vcpu, &regs);
		/* RAX, RBX, vector and error code are below the frame. */
		memcpy(frame, vm_at(&self->vm, regs.rax + 32), 40);
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		ASSERT_EQ(PORT_TEST, self->vcpu.run->io.port);
	}
	violations = line("ept_violation");
	EXPECT_EQ((uint64_t)turns, violations.exits - before.exits);
	EXPECT_EQ((uint64_t)turns * 5, violations.vmreads - before.vmreads);
	EXPECT_EQ((uint64_t)turns, violations.vmwrites - before.vmwrites);
}

/*
 * The single step after CPUID is injected: pending debug exceptions, DEBUGCTL and DR7 are read; interruption
 * information is written.
 */
TEST_F_TIMEOUT(accesses, cpuid_with_tf, SLOW)
{
	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, tf_cpuid);
	measure((struct kvm_regs) { .rcx = 0 });
	expect_cost("cpuid", EXITS, 8, 2);
}

/* An interrupt for each OUT: interruption information is written. */
TEST_F_TIMEOUT(accesses, injection, SLOW)
{
	struct kvm_interrupt interrupt = { .irq = 0x40 };
	struct kvm_regs regs = { .rcx = 0 };

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, out);
	start(&self->vcpu, &regs, EXITS);
	/* Maps the handler's pages. */
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_INTERRUPT, &interrupt));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	counters_reset();
	for (unsigned int i = 1; i < EXITS; i++) {
		vm_write64(&self->vm, EVENT_COUNT, 0);
		ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_INTERRUPT, &interrupt));
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		ASSERT_EQ(1U, event_count(&self->vm)) {
			for (unsigned int j = 0; j < event_count(&self->vm) && j < EVENT_RECORD_LIMIT; j++)
				TH_LOG("round %d: vector %" PRIu64 " at 0x%" PRIx64, i, event_at(&self->vm, j)->vector,
				       event_at(&self->vm, j)->rip);
		}
	}
	ASSERT_EQ(EXITS - 1U, line("io").exits);
	EXPECT_EQ((EXITS - 1U) * 6, line("io").vmreads);
	EXPECT_EQ((EXITS - 1U) * 2, line("io").vmwrites);
}

/*
 * An interrupt that must wait: interrupt-window exiting is turned on. When the window opens, RFLAGS and
 * interruptibility are read besides the reason, the interrupt is injected and interrupt-window exiting is turned off.
 */
TEST_F_TIMEOUT(accesses, interrupt_window, SLOW)
{
	struct kvm_interrupt interrupt = { .irq = 0x40 };
	struct kvm_regs regs = { .rcx = 0 };

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, cli_out_sti);
	start(&self->vcpu, &regs, EXITS);
	/* One round first. */
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_INTERRUPT, &interrupt));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	counters_reset();
	for (unsigned int i = 2; i < EXITS; i++) {
		ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_INTERRUPT, &interrupt));
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	}
	ASSERT_EQ(EXITS - 1UL, event_count(&self->vm));
	expect_cost("interrupt_window", EXITS - 2, 3, 2);
	ASSERT_EQ(EXITS - 2U, line("io").exits);
	EXPECT_EQ((EXITS - 2U) * 6, line("io").vmreads);
	EXPECT_EQ((EXITS - 2U) * 2, line("io").vmwrites);
}

/* ---- ioctls ---- */

TEST_F(accesses, second_get_reads_nothing)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct counter before, after;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, out_for_ever);
	start(&self->vcpu, &(struct kvm_regs) { .rcx = 0 }, 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	vcpu_get_sregs(&self->vcpu, &sregs);
	before = total();
	for (int i = 0; i < 100; i++) {
		vcpu_get_regs(&self->vcpu, &regs);
		vcpu_get_sregs(&self->vcpu, &sregs);
	}
	after = total();
	EXPECT_EQ(before.vmreads, after.vmreads);
	EXPECT_EQ(before.vmwrites, after.vmwrites);
}

struct mode {
	const char *name;
	void (*enter)(struct vcpu *vcpu);
};

static const struct mode modes[] = {
	{ "real", vcpu_enter_real }, { "protected", vcpu_enter_protected }, { "paging32", vcpu_enter_paging32 },
	{ "pae", vcpu_enter_pae }, { "long", vcpu_enter_long },
};

/* From one OUT to the next: the cost when nothing else has been set, plus this many fields. */
#define expect_next_out(mode_, more_) do {						\
	struct counter before = total(), after;						\
	uint64_t interrupts = line("external_interrupt").vmreads;			\
											\
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu)) TH_LOG("%s", mode_);		\
	after = total();								\
	interrupts = line("external_interrupt").vmreads - interrupts;			\
	EXPECT_EQ(before.vmreads + 6 + interrupts, after.vmreads) TH_LOG("%s", mode_);	\
	EXPECT_EQ(before.vmwrites + 1 + (more_), after.vmwrites) TH_LOG("%s", mode_);	\
} while (0)

#define set_what_was_got(mode_) do {							\
	struct counter before, after;							\
	struct kvm_sregs sregs, again;							\
											\
	vcpu_get_sregs(&self->vcpu, &sregs);						\
	before = total();								\
	vcpu_set_sregs(&self->vcpu, &sregs);						\
	after = total();								\
	EXPECT_EQ(before.vmreads, after.vmreads) TH_LOG("%s", mode_);			\
	EXPECT_EQ(before.vmwrites, after.vmwrites) TH_LOG("%s", mode_);			\
	vcpu_get_sregs(&self->vcpu, &again);						\
	EXPECT_EQ(0, memcmp(&sregs, &again, sizeof(sregs))) TH_LOG("%s", mode_);	\
} while (0)

TEST_F(accesses, set_sregs_of_unchanged_registers)
{
	struct kvm_sregs reset;

	RETURN_IF_SKIPPED();
	vcpu_get_sregs(&self->vcpu, &reset);
	for (unsigned int i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		const struct mode *mode = &modes[i];
		struct kvm_sregs sregs;

		mode->enter(&self->vcpu);
		vm_load(&self->vm, GUEST_CODE, out_for_ever);
		/* Before a run and after one. */
		set_what_was_got(mode->name);
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu)) TH_LOG("%s", mode->name);
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu)) TH_LOG("%s", mode->name);
		expect_next_out(mode->name, 0);
		set_what_was_got(mode->name);
		expect_next_out(mode->name, 0);
		/* One change is one VMWRITE. */
		vcpu_get_sregs(&self->vcpu, &sregs);
		sregs.es.limit ^= 0x1000;
		vcpu_set_sregs(&self->vcpu, &sregs);
		expect_next_out(mode->name, 1);
		vcpu_get_sregs(&self->vcpu, &sregs);
		sregs.gdt.base ^= 0x8000;
		sregs.idt.limit ^= 1;
		vcpu_set_sregs(&self->vcpu, &sregs);
		expect_next_out(mode->name, 2);
	}
}

TEST_F(accesses, set_sregs_with_segments_that_the_guest_made_unusable)
{
	struct kvm_sregs sregs;

	RETURN_IF_SKIPPED();
	/* The CPU may leave any value in an unusable segment's other bits. */
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.ldt = (struct kvm_segment) { .unusable = 1, .present = 1, .type = 2 };
	vcpu_set_sregs(&self->vcpu, &sregs);
	vm_load(&self->vm, GUEST_CODE, null_selectors);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	set_what_was_got("unusable");
	expect_next_out("unusable", 0);
}

/* CD and NW, which VM-entry does not load, and TS, which the guest sets by itself. */
TEST_F(accesses, set_sregs_with_cr0_bits_outside_the_vmcs)
{
	struct kvm_sregs sregs;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, out_for_ever);
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.cr0 |= CR0_CD | CR0_NW | CR0_TS;
	vcpu_set_sregs(&self->vcpu, &sregs);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	set_what_was_got("cr0");
	expect_next_out("cr0", 0);
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(CR0_CD | CR0_NW | CR0_TS, sregs.cr0 & (CR0_CD | CR0_NW | CR0_TS));
}

/* PAE paging: the PDPTEs come from memory, and are written if they are new. */
TEST_F(accesses, set_sregs_loads_pdptes)
{
	struct kvm_sregs sregs;

	RETURN_IF_SKIPPED();
	vcpu_enter_pae(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, out_for_ever);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_sregs(&self->vcpu, &sregs);
	/* Bit 9 is free for software. */
	vm_write64(&self->vm, GUEST_PDPT_PAE + 24, vm_read64(&self->vm, GUEST_PDPT_PAE + 24) | 0x200);
	vcpu_set_sregs(&self->vcpu, &sregs);
	expect_next_out("one PDPTE", 1);
	set_what_was_got("pae");
	expect_next_out("no PDPTE", 0);
}

TEST_HARNESS_MAIN
