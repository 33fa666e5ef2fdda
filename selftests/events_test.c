// SPDX-License-Identifier: GPL-2.0
/*
 * Guest events: interrupts and NMIs from userspace, held back while the guest
 * blocks them and delivered at the first instruction boundary where it does
 * not; exceptions; and deliveries that an exit interrupts.
 */
#include "lib/harness.h"
#include "lib/event_log.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define VECTOR		0x40
#define NMI_VECTOR	2
#define DB_VECTOR	1
#define UD_VECTOR	6

/* Not in any slot until a test puts memory there. */
#define ABSENT_GPA	0x40000000UL

FIXTURE(events) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(events)
{
	if (!device_is_vregcache())
		SKIP(return, "%s lets userspace decide when an interrupt can be queued", device_path());
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vcpu_install_event_log(&self->vcpu);
}

FIXTURE_TEARDOWN(events)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static long queue_interrupt(struct vcpu *vcpu, uint32_t vector)
{
	struct kvm_interrupt interrupt = { .irq = vector };

	return ioctl_ptr(vcpu->fd, KVM_INTERRUPT, &interrupt);
}

static long queue_nmi(struct vcpu *vcpu)
{
	return ioctl_errno(vcpu->fd, KVM_NMI, 0);
}

static struct kvm_vcpu_events get_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	if (ioctl_ptr(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		die("KVM_GET_VCPU_EVENTS");
	return events;
}

static long set_events(struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	return ioctl_ptr(vcpu->fd, KVM_SET_VCPU_EVENTS, events);
}

static uint64_t get_rip(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	return regs.rip;
}

/* Starts the guest at GUEST_CODE with RSI at absent memory. */
static void start(struct vcpu *vcpu, uint64_t rflags)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED | rflags, .rsi = ABSENT_GPA,
		.rax = SEL_DATA,
	};

	vcpu_set_regs(vcpu, &regs);
}

/* Runs up to the access to absent memory. */
#define RUN_TO_ABSENT() do {							\
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, vcpu_run(&self->vcpu));		\
	ASSERT_EQ(4U, self->vcpu.run->internal.ndata);				\
	ASSERT_EQ(ABSENT_GPA, self->vcpu.run->internal.data[3]);		\
} while (0)

#define ADD_ABSENT() \
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, ABSENT_GPA, PAGE_BYTES, host_alloc(PAGE_BYTES)))

/* The event at this index in the log has this vector, and came before the instruction at the address. */
#define EXPECT_EVENT(index, number, address) do {				\
	EXPECT_EQ((uint64_t)(number), event_at(&self->vm, (index))->vector);	\
	EXPECT_EQ((uint64_t)(address), event_at(&self->vm, (index))->rip);	\
} while (0)

#define LABEL(code, label) (GUEST_CODE + (guest_##label - guest_##code))

/* Puts a label that C can see in the middle of a guest. */
#define MARK(label) "guest_" #label ":\n"
#define LABELS(...) extern const uint8_t __VA_ARGS__

GUEST_ASM(enable, 64,
	"	nop\n"
	"	sti\n"
	"	nop\n"
	MARK(enabled)
	"	nop\n"
	"	cli\n"
	"	hlt\n"
	MARK(enable_end_of_code));
LABELS(guest_enabled[], guest_enable_end_of_code[]);

/* STI blocks for one more instruction. */
TEST_F(events, interrupt_waits_until_the_guest_enables_interrupts)
{
	vm_load(&self->vm, GUEST_CODE, enable);
	start(&self->vcpu, 0);
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, VECTOR, LABEL(enable, enabled));
	EXPECT_EQ(RFLAGS_IF, event_at(&self->vm, 0)->rflags & RFLAGS_IF);
	EXPECT_EQ((uint64_t)LABEL(enable, enable_end_of_code), get_rip(&self->vcpu));
}

TEST_F(events, interrupt_is_delivered_at_once_if_enabled)
{
	vm_load(&self->vm, GUEST_CODE, enable);
	start(&self->vcpu, RFLAGS_IF);
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, 255));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, 255, GUEST_CODE);
}

TEST_F(events, only_one_interrupt_can_be_pending)
{
	vm_load(&self->vm, GUEST_CODE, enable);
	start(&self->vcpu, RFLAGS_IF);
	EXPECT_EQ(-EINVAL, queue_interrupt(&self->vcpu, 256));
	EXPECT_EQ(-EINVAL, queue_interrupt(&self->vcpu, ~0U));
	EXPECT_EQ(-EFAULT, ioctl_errno(self->vcpu.fd, KVM_INTERRUPT, 8));
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	EXPECT_EQ(-EEXIST, queue_interrupt(&self->vcpu, VECTOR + 1));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, VECTOR, GUEST_CODE);
	EXPECT_EQ(0, queue_interrupt(&self->vcpu, VECTOR + 1));
}

GUEST_ASM(ready, 64,
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	sti\n"
	"	nop\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	hlt\n");

TEST_F(events, kvm_run_reports_whether_an_interrupt_can_be_delivered)
{
	struct kvm_run *run = self->vcpu.run;

	vm_load(&self->vm, GUEST_CODE, ready);
	start(&self->vcpu, 0);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(0, run->if_flag);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(1, run->if_flag);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	run->immediate_exit = 1;
	ASSERT_EQ(KVM_EXIT_INTR, vcpu_run(&self->vcpu));
	run->immediate_exit = 0;
	EXPECT_EQ(0U, event_count(&self->vm));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(1U, event_count(&self->vm));
}

TEST_F(events, interrupt_window_is_reported_when_it_opens)
{
	vm_load(&self->vm, GUEST_CODE, enable);
	start(&self->vcpu, 0);
	self->vcpu.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, vcpu_run(&self->vcpu));
	EXPECT_EQ((uint64_t)LABEL(enable, enabled), get_rip(&self->vcpu));
	EXPECT_EQ(1, self->vcpu.run->ready_for_interrupt_injection);
	EXPECT_EQ(1, self->vcpu.run->if_flag);
	self->vcpu.run->request_interrupt_window = 0;
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, VECTOR, LABEL(enable, enabled));
}

/* The window is open at the start, and no instruction runs before the exit to userspace. */
TEST_F(events, open_window_is_reported_before_the_first_instruction)
{
	vm_load(&self->vm, GUEST_CODE, enable);
	start(&self->vcpu, RFLAGS_IF);
	self->vcpu.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, vcpu_run(&self->vcpu));
	EXPECT_EQ((uint64_t)GUEST_CODE, get_rip(&self->vcpu));
}

TEST_F(events, window_request_can_be_withdrawn)
{
	vm_load(&self->vm, GUEST_CODE, ready);
	start(&self->vcpu, 0);
	self->vcpu.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	self->vcpu.run->request_interrupt_window = 0;
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0U, event_count(&self->vm));
}

GUEST_ASM(sti_access, 64, "sti\n" MARK(sti_blocked) "mov (%rsi), %rbx\n" MARK(sti_unblocked) "nop\n cli\n hlt\n");
LABELS(guest_sti_blocked[], guest_sti_unblocked[]);
GUEST_ASM(mov_ss_access, 64, "mov %eax, %ss\n" MARK(ss_blocked) "mov (%rsi), %rbx\n" MARK(ss_unblocked) "nop\n cli\n hlt\n");
LABELS(guest_ss_blocked[], guest_ss_unblocked[]);

#define CHECK_SHADOW(code, blocked, unblocked, flags, what, queue, vector) do {				\
	vm_load(&self->vm, GUEST_CODE, code);								\
	start(&self->vcpu, flags);									\
	RUN_TO_ABSENT();										\
	ASSERT_EQ((uint64_t)LABEL(code, blocked), get_rip(&self->vcpu));				\
	EXPECT_EQ(what, get_events(&self->vcpu).interrupt.shadow);					\
	EXPECT_EQ(0, self->vcpu.run->ready_for_interrupt_injection);					\
	ASSERT_EQ(0, queue);										\
	ADD_ABSENT();											\
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));							\
	ASSERT_EQ(1U, event_count(&self->vm));								\
	EXPECT_EVENT(0, vector, LABEL(code, unblocked));						\
	EXPECT_EQ(0, get_events(&self->vcpu).interrupt.shadow);						\
} while (0)

TEST_F(events, blocking_by_sti_survives_an_exit_and_delays_interrupts)
{
	CHECK_SHADOW(sti_access, sti_blocked, sti_unblocked, 0, KVM_X86_SHADOW_INT_STI,
		     queue_interrupt(&self->vcpu, VECTOR), VECTOR);
}

TEST_F(events, blocking_by_mov_ss_survives_an_exit_and_delays_interrupts)
{
	CHECK_SHADOW(mov_ss_access, ss_blocked, ss_unblocked, RFLAGS_IF, KVM_X86_SHADOW_INT_MOV_SS,
		     queue_interrupt(&self->vcpu, VECTOR), VECTOR);
}

TEST_F(events, blocking_by_sti_delays_nmis)
{
	CHECK_SHADOW(sti_access, sti_blocked, sti_unblocked, 0, KVM_X86_SHADOW_INT_STI,
		     queue_nmi(&self->vcpu), NMI_VECTOR);
}

TEST_F(events, blocking_by_mov_ss_delays_nmis)
{
	CHECK_SHADOW(mov_ss_access, ss_blocked, ss_unblocked, RFLAGS_IF, KVM_X86_SHADOW_INT_MOV_SS,
		     queue_nmi(&self->vcpu), NMI_VECTOR);
}

/* VM-entry would fail on blocking by STI with interrupts disabled, and on a single step that is not pending. */
TEST_F(events, userspace_clears_if_while_sti_blocks)
{
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, sti_access);
	start(&self->vcpu, 0);
	RUN_TO_ABSENT();
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags &= ~RFLAGS_IF;
	vcpu_set_regs(&self->vcpu, &regs);
	ADD_ABSENT();
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0U, event_count(&self->vm));
}

GUEST_ASM(stepped, 64,
	"	mov %eax, %ss\n"
	"	mov (%rsi), %rbx\n"
	MARK(step_end)
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n");
LABELS(guest_step_end[]);

TEST_F(events, userspace_sets_tf_while_mov_ss_blocks)
{
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, stepped);
	start(&self->vcpu, 0);
	RUN_TO_ABSENT();
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags |= RFLAGS_TF;
	vcpu_set_regs(&self->vcpu, &regs);
	ADD_ABSENT();
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, DB_VECTOR, LABEL(stepped, step_end));
}

GUEST_ASM(idle, 64,
	"	sti\n"
	"	hlt\n"
	MARK(woken)
	"	nop\n"
	"	hlt\n"
	MARK(idle_again));
LABELS(guest_woken[], guest_idle_again[]);

/* HLT ends the blocking by STI, so the interrupt wakes the CPU before an exit to userspace. */
TEST_F(events, pending_interrupt_ends_hlt)
{
	vm_load(&self->vm, GUEST_CODE, idle);
	start(&self->vcpu, 0);
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, VECTOR, LABEL(idle, woken));
	EXPECT_EQ((uint64_t)LABEL(idle, idle_again), get_rip(&self->vcpu));
}

GUEST_ASM(steps, 64,
	"	nop\n"
	MARK(step1)
	"	nop\n"
	"	hlt\n");
LABELS(guest_step1[]);

TEST_F(events, nmi_is_delivered_with_interrupts_disabled)
{
	vm_load(&self->vm, GUEST_CODE, steps);
	start(&self->vcpu, 0);
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_CODE);
}

/* While one NMI is handled, a second waits for IRET, and a third merges with the second. */
TEST_F(events, nmis_are_blocked_until_iret)
{
	vm_load(&self->vm, GUEST_CODE, steps);
	vm_write64(&self->vm, EVENT_STOP, NMI_VECTOR);
	start(&self->vcpu, 0);
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EQ(1, get_events(&self->vcpu).nmi.masked);
	EXPECT_EQ(0, get_events(&self->vcpu).nmi.pending);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, queue_nmi(&self->vcpu));
	EXPECT_EQ(1, get_events(&self->vcpu).nmi.pending);
	/* The second handler stops: the first one has returned. */
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(2U, event_count(&self->vm));
	EXPECT_EVENT(1, NMI_VECTOR, GUEST_CODE);
	EXPECT_EQ(event_at(&self->vm, 0)->rsp, event_at(&self->vm, 1)->rsp);
	EXPECT_EQ(1, get_events(&self->vcpu).nmi.masked);
	EXPECT_EQ(0, get_events(&self->vcpu).nmi.pending);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(2U, event_count(&self->vm));
	EXPECT_EQ(0, get_events(&self->vcpu).nmi.masked);
}

/* The NMI cannot be delivered, but an interrupt can, and userspace has requested the window. */
TEST_F(events, blocked_nmi_does_not_hide_the_interrupt_window)
{
	struct kvm_vcpu_events events = get_events(&self->vcpu);

	vm_load(&self->vm, GUEST_CODE, steps);
	start(&self->vcpu, RFLAGS_IF);
	events.nmi.masked = 1;
	events.nmi.pending = 1;
	ASSERT_EQ(0, set_events(&self->vcpu, &events));
	self->vcpu.run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, vcpu_run(&self->vcpu));
	EXPECT_EQ((uint64_t)GUEST_CODE, get_rip(&self->vcpu));
	EXPECT_EQ(0U, event_count(&self->vm));
}

/* Userspace ends the blocking by STI that held the NMI back, and no interrupt window will open. */
TEST_F(events, nmi_is_delivered_after_userspace_ends_blocking_by_sti)
{
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, sti_access);
	start(&self->vcpu, 0);
	RUN_TO_ABSENT();
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	/* On the same page: nothing exits before HLT. */
	vm_load(&self->vm, GUEST_CODE + 0x100, steps);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags &= ~RFLAGS_IF;
	regs.rip = GUEST_CODE + 0x100;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_CODE + 0x100);
}

TEST_F(events, two_queued_nmis_are_delivered_in_turn)
{
	vm_load(&self->vm, GUEST_CODE, steps);
	start(&self->vcpu, 0);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, queue_nmi(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(2U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_CODE);
	EXPECT_EVENT(1, NMI_VECTOR, GUEST_CODE);
}

/*
 * IRET pops its frame from an untouched page, so it exits after it has ended the blocking, and executes again. A
 * pending NMI must not be delivered in between.
 */
TEST_F(events, iret_that_exits_keeps_nmis_blocked)
{
	uint8_t *frame = host_alloc(PAGE_BYTES);
	struct kvm_regs regs;

	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, ABSENT_GPA, PAGE_BYTES, frame));
	vm_load(&self->vm, GUEST_CODE, steps);
	vm_write64(&self->vm, EVENT_NMI_FRAME, ABSENT_GPA + 0x100);
	start(&self->vcpu, 0);
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	/* RAX, RBX, vector and error code are below RIP, CS, RFLAGS, RSP and SS. */
	memcpy(frame + 0x100, vm_at(&self->vm, regs.rax + 32), 40);
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	/* The second NMI's handler stops as well. */
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(2U, event_count(&self->vm));
	EXPECT_NE(event_nmi_iret(), event_at(&self->vm, 1)->rip);
	EXPECT_EVENT(1, NMI_VECTOR, GUEST_CODE);
}

GUEST_ASM(both, 64, "nop\n" MARK(both_next) "nop\n cli\n hlt\n");
LABELS(guest_both_next[]);

TEST_F(events, nmi_precedes_an_interrupt)
{
	vm_load(&self->vm, GUEST_CODE, both);
	start(&self->vcpu, RFLAGS_IF);
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(2U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_CODE);
	EXPECT_EVENT(1, VECTOR, GUEST_CODE);
}

/* The NMI comes at the first instruction of the exception's handler, the interrupt after the handler has returned. */
TEST_F(events, exception_precedes_nmi_and_interrupt)
{
	struct kvm_vcpu_events events = get_events(&self->vcpu);

	vm_load(&self->vm, GUEST_CODE, both);
	start(&self->vcpu, RFLAGS_IF);
	events.exception.injected = 1;
	events.exception.nr = 13;
	events.exception.has_error_code = 1;
	events.exception.error_code = 0x5a5a;
	events.interrupt.injected = 1;
	events.interrupt.nr = VECTOR;
	events.nmi.pending = 1;
	ASSERT_EQ(0, set_events(&self->vcpu, &events));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(3U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_EVENT_STUBS + 13 * EVENT_STUB_BYTES);
	EXPECT_EVENT(1, 13, GUEST_CODE);
	EXPECT_EQ(0x5a5aU, event_at(&self->vm, 1)->error_code);
	EXPECT_EVENT(2, VECTOR, GUEST_CODE);
}

TEST_F(events, exceptions_have_their_error_codes)
{
	static const uint8_t with_error_code[] = { 8, 10, 11, 12, 13, 14, 17 };

	vm_load(&self->vm, GUEST_CODE, steps);
	for (unsigned int vector = 0; vector < 20; vector++) {
		struct kvm_vcpu_events events = get_events(&self->vcpu);
		int has_error_code = memchr(with_error_code, vector, sizeof(with_error_code)) != NULL;
		unsigned int index = event_count(&self->vm);

		events.exception.injected = 1;
		events.exception.nr = vector;
		events.exception.has_error_code = has_error_code;
		/* VM-entry requires bits 31:16 to be clear. */
		events.exception.error_code = has_error_code ? 0x100 + vector : 0;
		if (vector == NMI_VECTOR) {
			EXPECT_EQ(-EINVAL, set_events(&self->vcpu, &events));
			continue;
		}
		start(&self->vcpu, 0);
		ASSERT_EQ(0, set_events(&self->vcpu, &events))
			TH_LOG("vector %u", vector);
		EXPECT_EQ(1, get_events(&self->vcpu).exception.injected);
		EXPECT_EQ(vector, get_events(&self->vcpu).exception.nr);
		ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu))
			TH_LOG("vector %u", vector);
		ASSERT_EQ(index + 1, event_count(&self->vm));
		EXPECT_EVENT(index, vector, GUEST_CODE);
		EXPECT_EQ(events.exception.error_code, event_at(&self->vm, index)->error_code)
			TH_LOG("vector %u", vector);
		EXPECT_EQ(0, get_events(&self->vcpu).exception.injected);
	}
}

GUEST_ASM(out_hlt, 64, "outb %al, $" GUEST_STRING(PORT_TEST) "\n	hlt\n");

/* The exception belongs to the registers that userspace replaces. */
TEST_F(events, set_regs_drops_pending_exception)
{
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, out_hlt);
	start(&self->vcpu, 0);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags |= RFLAGS_TF;
	vcpu_set_regs(&self->vcpu, &regs);
	/* The single step of OUT makes a debug exception pending. */
	vcpu_complete_io(&self->vcpu);
	EXPECT_EQ(1, get_events(&self->vcpu).exception.injected);
	EXPECT_EQ(DB_VECTOR, get_events(&self->vcpu).exception.nr);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags &= ~RFLAGS_TF;
	vcpu_set_regs(&self->vcpu, &regs);
	EXPECT_EQ(0, get_events(&self->vcpu).exception.injected);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0U, event_count(&self->vm));
}

/* One that userspace injects is not pending. */
TEST_F(events, set_regs_keeps_injected_exception)
{
	struct kvm_vcpu_events events = get_events(&self->vcpu);

	vm_load(&self->vm, GUEST_CODE, out_hlt);
	start(&self->vcpu, 0);
	events.exception.injected = 1;
	events.exception.nr = UD_VECTOR;
	ASSERT_EQ(0, set_events(&self->vcpu, &events));
	start(&self->vcpu, 0);
	EXPECT_EQ(1, get_events(&self->vcpu).exception.injected);
	EXPECT_EQ(UD_VECTOR, get_events(&self->vcpu).exception.nr);
}

TEST_F(events, set_vcpu_events_delivers_an_injected_nmi)
{
	struct kvm_vcpu_events events = get_events(&self->vcpu);

	vm_load(&self->vm, GUEST_CODE, steps);
	start(&self->vcpu, 0);
	events.nmi.injected = 1;
	ASSERT_EQ(0, set_events(&self->vcpu, &events));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_CODE);
}

GUEST_ASM(software, 64,
	"	int $0x80\n"
	MARK(behind_int)
	"	int3\n"
	MARK(behind_int3)
	"	hlt\n");
LABELS(guest_behind_int[], guest_behind_int3[]);

/* The handlers, the IDT, the GDT and the stack are pages that the guest touches for the first time. */
TEST_F(events, delivery_interrupted_by_an_exit_happens_once)
{
	struct kvm_vcpu_events events = get_events(&self->vcpu);
	struct vm vm = self->vm;
	struct vcpu vcpu = self->vcpu;

	for (int kind = 0; kind < 4; kind++) {
		if (kind) {
			/* A new virtual machine: nothing is mapped in its EPT. */
			vm_create(&vm, GUEST_MEM_SIZE);
			vcpu_create(&vcpu, &vm, 0);
			vcpu_enter_long(&vcpu);
			vcpu_install_event_log(&vcpu);
		}
		vm_load_bytes(&vm, GUEST_CODE, guest_steps, guest_steps_end - guest_steps);
		start(&vcpu, RFLAGS_IF);
		switch (kind) {
		case 0:
			ASSERT_EQ(0, queue_interrupt(&vcpu, VECTOR));
			break;
		case 1:
			ASSERT_EQ(0, queue_nmi(&vcpu));
			break;
		case 2:
			events.exception.injected = 1;
			events.exception.nr = 14;
			events.exception.has_error_code = 1;
			events.exception.error_code = 7;
			ASSERT_EQ(0, set_events(&vcpu, &events));
			break;
		default:
			vm_load_bytes(&vm, GUEST_CODE, guest_software, guest_software_end - guest_software);
			break;
		}
		ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&vcpu));
		ASSERT_EQ(kind == 3 ? 2U : 1U, event_count(&vm))
			TH_LOG("kind %d", kind);
		if (kind == 3) {
			EXPECT_EQ(0x80U, event_at(&vm, 0)->vector);
			EXPECT_EQ((uint64_t)LABEL(software, behind_int), event_at(&vm, 0)->rip);
			EXPECT_EQ(3U, event_at(&vm, 1)->vector);
			EXPECT_EQ((uint64_t)LABEL(software, behind_int3), event_at(&vm, 1)->rip);
		} else {
			EXPECT_EQ((uint64_t)GUEST_CODE, event_at(&vm, 0)->rip);
		}
		if (kind == 2) {
			EXPECT_EQ(7U, event_at(&vm, 0)->error_code);
		}
		EXPECT_EQ(0, get_events(&vcpu).nmi.masked);
		EXPECT_EQ(0, get_events(&vcpu).interrupt.injected);
		if (kind) {
			vcpu_destroy(&vcpu);
			vm_destroy(&vm);
		}
	}
}

/* Moves the IDT outside all slots, so that userspace sees the event half delivered. */
static void put_idt_away(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.idt.base = ABSENT_GPA;
	vcpu_set_sregs(vcpu, &sregs);
}

TEST_F(events, interrupted_delivery_of_an_interrupt_is_reported_and_delayed_by_cli)
{
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint8_t *idt = host_alloc(PAGE_BYTES);

	memcpy(idt, vm_at(&self->vm, GUEST_IDT), PAGE_BYTES);
	vm_load(&self->vm, GUEST_CODE, enable);
	start(&self->vcpu, RFLAGS_IF);
	put_idt_away(&self->vcpu);
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, vcpu_run(&self->vcpu));
	EXPECT_EQ(ABSENT_GPA + VECTOR * 16, self->vcpu.run->internal.data[3]);
	events = get_events(&self->vcpu);
	EXPECT_EQ(1, events.interrupt.injected);
	EXPECT_EQ(VECTOR, events.interrupt.nr);
	EXPECT_EQ(0, self->vcpu.run->ready_for_interrupt_injection);
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(1ULL << VECTOR % 64, sregs.interrupt_bitmap[VECTOR / 64]);
	EXPECT_EQ(-EEXIST, queue_interrupt(&self->vcpu, VECTOR + 1));

	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, ABSENT_GPA, PAGE_BYTES, idt));
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags &= ~RFLAGS_IF;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, VECTOR, LABEL(enable, enabled));
}

TEST_F(events, interrupted_delivery_of_an_nmi_is_reported_and_does_not_mask)
{
	struct kvm_vcpu_events events;
	uint8_t *idt = host_alloc(PAGE_BYTES);

	memcpy(idt, vm_at(&self->vm, GUEST_IDT), PAGE_BYTES);
	vm_load(&self->vm, GUEST_CODE, steps);
	start(&self->vcpu, 0);
	put_idt_away(&self->vcpu);
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, vcpu_run(&self->vcpu));
	events = get_events(&self->vcpu);
	EXPECT_EQ(1, events.nmi.injected);
	EXPECT_EQ(0, events.nmi.masked);
	EXPECT_EQ(0, events.nmi.pending);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, ABSENT_GPA, PAGE_BYTES, idt));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_CODE);
}

GUEST_ASM(traced, 64,
	"	pushf\n"
	"	orl $0x100, (%rsp)\n"
	"	popf\n"
	"	nop\n"
	MARK(traced0)
	"	cpuid\n"
	MARK(traced1)
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	MARK(traced2)
	"	inb $" GUEST_STRING(PORT_TEST) ", %al\n"
	MARK(traced3)
	"	mov $0x174, %ecx\n"
	MARK(traced4)
	"	rdmsr\n"
	MARK(traced5)
	"	wrmsr\n"
	MARK(traced6)
	"	mov %cr0, %rax\n"
	MARK(traced7)
	"	mov %rax, %cr0\n"
	MARK(traced8)
	"	mov %ss, %eax\n"
	MARK(traced9)
	"	mov %eax, %ss\n"
	"	cpuid\n"
	MARK(traced10)
	"	hlt\n"
	MARK(traced11)
	"	nop\n"
	MARK(traced12)
	"	outb %al, $" GUEST_STRING(PORT_DONE) "\n");
LABELS(guest_traced0[], guest_traced1[], guest_traced2[], guest_traced3[], guest_traced4[], guest_traced5[]);
LABELS(guest_traced6[], guest_traced7[], guest_traced8[], guest_traced9[], guest_traced10[], guest_traced11[]);
LABELS(guest_traced12[]);

/* One trap after each instruction, also after emulated ones; none after MOV SS. The trap after HLT ends it. */
TEST_F(events, single_steps_over_emulated_instructions)
{
	const uint64_t traps[] = {
		LABEL(traced, traced0), LABEL(traced, traced1), LABEL(traced, traced2), LABEL(traced, traced3),
		LABEL(traced, traced4), LABEL(traced, traced5), LABEL(traced, traced6), LABEL(traced, traced7),
		LABEL(traced, traced8), LABEL(traced, traced9), LABEL(traced, traced10), LABEL(traced, traced11),
		LABEL(traced, traced12),
	};
	const unsigned int count = sizeof(traps) / sizeof(traps[0]);

	vm_load(&self->vm, GUEST_CODE, traced);
	start(&self->vcpu, 0);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(PORT_DONE, self->vcpu.run->io.port);
	ASSERT_EQ(count, event_count(&self->vm));
	for (unsigned int i = 0; i < count; i++) {
		EXPECT_EVENT(i, DB_VECTOR, traps[i]);
		/* Only the single step, and the bits that are always set. */
		EXPECT_EQ(0xffff4ff0U, event_at(&self->vm, i)->dr6)
			TH_LOG("trap %u", i);
	}
}

GUEST_ASM(traced_sti, 64,
	"	pushf\n"
	"	orl $0x100, (%rsp)\n"
	"	popf\n"
	"	sti\n"
	MARK(trace_sti)
	"	nop\n"
	MARK(trace_nop)
	"	outb %al, $" GUEST_STRING(PORT_DONE) "\n");
LABELS(guest_trace_sti[], guest_trace_nop[]);

/* The trap after STI is injected while STI blocks, and VM-entry then requires a pending single step. */
TEST_F(events, single_steps_over_sti)
{
	if (machine_is_tcg())
		SKIP(return, "QEMU traps only after the instruction that follows STI");
	vm_load(&self->vm, GUEST_CODE, traced_sti);
	start(&self->vcpu, 0);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(2U, event_count(&self->vm));
	EXPECT_EVENT(0, DB_VECTOR, LABEL(traced_sti, trace_sti));
	EXPECT_EVENT(1, DB_VECTOR, LABEL(traced_sti, trace_nop));
}

#define MSR_DEBUGCTL	0x1d9
#define DEBUGCTL_BTF	2

GUEST_ASM(branch_traced, 64,
	"	pushf\n"
	"	orl $0x100, (%rsp)\n"
	"	popf\n"
	"	cpuid\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	hlt\n");

/* CPUID, OUT and HLT are not branches. The module emulates each. */
TEST_F(events, branch_traps_skip_instructions_that_are_no_branches)
{
	uint64_t value;

	vm_load(&self->vm, GUEST_CODE, branch_traced);
	start(&self->vcpu, 0);
	ASSERT_EQ(1, vcpu_set_msr(&self->vcpu, MSR_DEBUGCTL, DEBUGCTL_BTF));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0U, event_count(&self->vm));
	ASSERT_EQ(1, vcpu_get_msr(&self->vcpu, MSR_DEBUGCTL, &value));
	EXPECT_EQ((uint64_t)DEBUGCTL_BTF, value);
}

/* A debug exception ends branch traps: its handler must not trap on its own branches. */
TEST_F(events, debug_exception_ends_branch_traps)
{
	struct kvm_regs regs;
	uint64_t value;

	vm_load(&self->vm, GUEST_CODE, stepped);
	start(&self->vcpu, 0);
	RUN_TO_ABSENT();
	ASSERT_EQ(1, vcpu_set_msr(&self->vcpu, MSR_DEBUGCTL, DEBUGCTL_BTF));
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags |= RFLAGS_TF;
	vcpu_set_regs(&self->vcpu, &regs);
	/* While MOV SS blocks, VM-entry requires that no single step is pending with branch traps. */
	ADD_ABSENT();
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(1, vcpu_get_msr(&self->vcpu, MSR_DEBUGCTL, &value));
	/* A CPU without branch traps, such as the software CPUs, traps after the load. */
	EXPECT_EQ(event_count(&self->vm) ? 0U : (uint64_t)DEBUGCTL_BTF, value);
}

static const uint16_t real_handler = 0x100;
GUEST_ASM(real_enable, 16, "sti\n nop\n nop\n cli\n hlt\n");
GUEST_ASM(real_return, 16, "incw 0x40\n iret\n");

TEST_F(events, real_mode_takes_interrupts_and_nmis)
{
	uint16_t *ivt = vm_at(&self->vm, GUEST_IVT);
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, real_enable);
	vm_load(&self->vm, GUEST_CODE + real_handler, real_return);
	vcpu_enter_real(&self->vcpu);
	for (int vector = 0; vector < 256; vector++) {
		ivt[2 * vector] = real_handler;
		ivt[2 * vector + 1] = GUEST_CODE >> 4;
	}
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(5U, regs.rip);
	EXPECT_EQ(2, *(uint16_t *)vm_at(&self->vm, GUEST_DATA + 0x40));
}

TEST_F(events, events_can_be_moved_to_another_vcpu)
{
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vcpu other;

	vm_load(&self->vm, GUEST_CODE, enable);
	start(&self->vcpu, 0);
	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	ASSERT_EQ(0, queue_nmi(&self->vcpu));
	events = get_events(&self->vcpu);
	EXPECT_EQ((uint32_t)(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW), events.flags);
	EXPECT_EQ(1, events.interrupt.injected);
	EXPECT_EQ(VECTOR, events.interrupt.nr);
	EXPECT_EQ(1, events.nmi.pending);

	vcpu_create(&other, &self->vm, 1);
	vcpu_get_regs(&self->vcpu, &regs);
	vcpu_get_sregs(&self->vcpu, &sregs);
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	vcpu_set_regs(&other, &regs);
	vcpu_set_sregs(&other, &sregs);
	ASSERT_EQ(0, set_events(&other, &events));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&other));
	ASSERT_EQ(2U, event_count(&self->vm));
	EXPECT_EVENT(0, NMI_VECTOR, GUEST_CODE);
	EXPECT_EVENT(1, VECTOR, LABEL(enable, enabled));
	vcpu_destroy(&other);
}

TEST_F(events, set_sregs_queues_an_interrupt)
{
	struct kvm_sregs sregs;

	vm_load(&self->vm, GUEST_CODE, steps);
	start(&self->vcpu, RFLAGS_IF);
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.interrupt_bitmap[3] = 1ULL << 63;
	sregs.interrupt_bitmap[0] = 1ULL << 33;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &sregs));
	sregs.interrupt_bitmap[0] = 0;
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &sregs));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EVENT(0, 255, GUEST_CODE);
}

TEST_F(events, set_vcpu_events_refuses_invalid_events)
{
	struct kvm_vcpu_events before, events, after;

	ASSERT_EQ(0, queue_interrupt(&self->vcpu, VECTOR));
	before = get_events(&self->vcpu);

	events = before;
	events.flags |= 0x80;
	events.interrupt.nr = 1;
	EXPECT_EQ(-EINVAL, set_events(&self->vcpu, &events));
	events = before;
	events.interrupt.shadow = 4;
	EXPECT_EQ(-EINVAL, set_events(&self->vcpu, &events));
	events = before;
	events.exception.injected = 1;
	events.exception.nr = 32;
	EXPECT_EQ(-EINVAL, set_events(&self->vcpu, &events));
	events.exception.nr = 6;
	events.exception.has_error_code = 1;
	EXPECT_EQ(-EINVAL, set_events(&self->vcpu, &events));
	EXPECT_EQ(-EFAULT, ioctl_errno(self->vcpu.fd, KVM_SET_VCPU_EVENTS, 8));
	EXPECT_EQ(-EFAULT, ioctl_errno(self->vcpu.fd, KVM_GET_VCPU_EVENTS, 8));
	after = get_events(&self->vcpu);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

TEST_HARNESS_MAIN
