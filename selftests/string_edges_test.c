// SPDX-License-Identifier: GPL-2.0
/*
 * String I/O at the edges of counts, offsets and widths, and events between its iterations: interrupts, NMIs, and the
 * end of blocking by STI and MOV SS.
 */
#include "lib/harness.h"

#include <sys/ioctl.h>

#include "lib/event_log.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define IRQ_VECTOR	0x31
#define SOURCE		(GUEST_FREE + 0x8000UL)
#define MANY		20000

FIXTURE(string) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(string)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
}

FIXTURE_TEARDOWN(string)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

GUEST_ASM(outs64, 64, "outsb\n	hlt\n");
GUEST_ASM(rep_outs64, 64, "rep outsb\n	hlt\n");
GUEST_ASM(rep_outsl64, 64, "rep outsl\n	hlt\n");
/* With 32-bit addresses. */
GUEST_ASM(rep_outs64_32, 64, "rep outsb (%esi), (%dx)\n	hlt\n");
GUEST_ASM(rep_ins64_32, 64, "rep insb (%dx), (%edi)\n	hlt\n");
GUEST_ASM(rep_outs32, 32, "rep outsb\n	hlt\n");
GUEST_ASM(rep_outs16, 16, "rep outsb\n	hlt\n");
GUEST_ASM(rep_outsw16, 16, "rep outsw\n	hlt\n");
GUEST_ASM(rep_ins16, 16, "rep insb\n	hlt\n");

static void start(struct vcpu *vcpu, uint64_t rflags, uint64_t index, uint64_t count)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rflags = RFLAGS_FIXED | rflags;
	regs.rsi = regs.rdi = index;
	regs.rcx = count;
	regs.rdx = PORT_TEST_DX;
	vcpu_set_regs(vcpu, &regs);
}

/* Runs until an exit that is not for the port, and returns its reason. Bytes of OUT go to @data. */
static int run_ports(struct vcpu *vcpu, uint8_t *data, size_t room, size_t *bytes)
{
	struct kvm_run *run = vcpu->run;
	int reason;

	*bytes = 0;
	while ((reason = vcpu_run(vcpu)) == KVM_EXIT_IO && run->io.port == PORT_TEST_DX) {
		size_t size = run->io.count * run->io.size;

		if (*bytes + size > room)
			die("too many bytes");
		if (run->io.direction == KVM_EXIT_IO_OUT)
			memcpy(data + *bytes, vcpu_io_data(vcpu), size);
		else
			memset(vcpu_io_data(vcpu), 0xee, size);
		*bytes += size;
	}
	return reason;
}

/* ---- offsets ---- */

TEST_F(string, address_zero_of_64_bits)
{
	struct kvm_regs regs;
	uint8_t data[4];
	size_t bytes;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, outs64);
	*(uint8_t *)vm_at(&self->vm, 0) = 0xa5;
	start(&self->vcpu, 0, 0, 0);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	ASSERT_EQ(1U, bytes);
	EXPECT_EQ(0xa5, data[0]);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(1U, regs.rsi);
}

TEST_F(string, several_from_address_zero_of_64_bits)
{
	uint8_t data[16];
	size_t bytes;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, rep_outsl64);
	memcpy(vm_at(&self->vm, 0), "0123456789ab", 12);
	start(&self->vcpu, 0, 0, 3);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	ASSERT_EQ(12U, bytes);
	EXPECT_EQ(0, memcmp(data, "0123456789ab", 12));
}

#define PTE_PW 3UL

/* The last page of the address space is mapped to the first page of memory as well. */
TEST_F(string, backwards_over_address_zero_of_64_bits)
{
	struct kvm_regs regs;
	uint8_t data[8];
	size_t bytes;

	vcpu_enter_long(&self->vcpu);
	vm_write64(&self->vm, GUEST_PML4 + 511 * 8, GUEST_FREE | PTE_PW);
	vm_write64(&self->vm, GUEST_FREE + 511 * 8, (GUEST_FREE + 0x1000) | PTE_PW);
	vm_write64(&self->vm, GUEST_FREE + 0x1000 + 511 * 8, (GUEST_FREE + 0x2000) | PTE_PW);
	vm_write64(&self->vm, GUEST_FREE + 0x2000 + 511 * 8, SOURCE | PTE_PW);
	vm_load(&self->vm, GUEST_CODE, rep_outs64);
	memcpy(vm_at(&self->vm, 0), "ab", 2);
	memcpy(vm_at(&self->vm, SOURCE + 0xffe), "yz", 2);
	start(&self->vcpu, RFLAGS_DF, 1, 4);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	ASSERT_EQ(4U, bytes);
	EXPECT_EQ(0, memcmp(data, "bazy", 4));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0xfffffffffffffffdUL, regs.rsi);
	EXPECT_EQ(0U, regs.rcx);
	/* And forwards. */
	vcpu_set_rip(&self->vcpu, GUEST_CODE);
	start(&self->vcpu, 0, 0xfffffffffffffffe, 4);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	ASSERT_EQ(4U, bytes);
	EXPECT_EQ(0, memcmp(data, "yzab", 4));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(2U, regs.rsi);
}

/* 32-bit addresses in 64-bit mode: the index wraps, and its upper half is cleared. */
TEST_F(string, index_of_32_bits_wraps)
{
	uint32_t last = 0xffffffff;
	struct kvm_regs regs;
	uint8_t data[8];
	size_t bytes;

	vcpu_enter_long(&self->vcpu);
	/* The last 2 MiB below 4 GiB are mapped to the first 2 MiB of memory. */
	vm_write64(&self->vm, GUEST_PD + 3 * PAGE_BYTES + 511 * 8, 0x83);
	/* Addresses above 4 GiB are mapped to something else. */
	vm_write64(&self->vm, GUEST_PDPT + 4 * 8, GUEST_FREE | PTE_PW);
	vm_write64(&self->vm, GUEST_FREE, (GUEST_FREE + 0x1000) | PTE_PW);
	vm_write64(&self->vm, GUEST_FREE + 0x1000, SOURCE | PTE_PW);
	vm_load(&self->vm, GUEST_CODE, rep_outs64_32);
	*(uint8_t *)vm_at(&self->vm, GUEST_MEM_SIZE - 1) = 'z';
	memcpy(vm_at(&self->vm, 0), "ab", 2);
	start(&self->vcpu, 0, 0x1234567800000000 | last, 0x1234567800000003);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	ASSERT_EQ(3U, bytes);
	EXPECT_EQ(0, memcmp(data, "zab", 3));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(2U, regs.rsi);
	EXPECT_EQ(0U, regs.rcx);
	vcpu_set_rip(&self->vcpu, GUEST_CODE);
	start(&self->vcpu, RFLAGS_DF, 1, 3);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	EXPECT_EQ(0, memcmp(data, "baz", 3));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0xfffffffeU, regs.rsi);
}

/* During the exit, userspace moves the index to where it wraps before the last element. */
TEST_F(string, index_set_by_userspace_wraps)
{
	struct kvm_regs regs;

	if (!device_is_vregcache())
		SKIP(return, "%s continues where the exit was", device_path());
	vcpu_enter_long(&self->vcpu);
	vm_write64(&self->vm, GUEST_PD + 3 * PAGE_BYTES + 511 * 8, 0x83);
	vm_load(&self->vm, GUEST_CODE, rep_ins64_32);
	start(&self->vcpu, 0, 0, 2);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(2U, self->vcpu.run->io.count);
	memcpy((char *)self->vcpu.run + self->vcpu.run->io.data_offset, "xy", 2);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rdi = 0xffffffff;
	vcpu_set_regs(&self->vcpu, &regs);
	/* The first element goes there; the second is a new iteration. */
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, self->vcpu.run->io.count);
	*((char *)self->vcpu.run + self->vcpu.run->io.data_offset) = 'z';
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ('x', *(char *)vm_at(&self->vm, GUEST_MEM_SIZE - 1));
	EXPECT_EQ('z', *(char *)vm_at(&self->vm, 0));
}

/* In real mode, with 16-bit addresses; the upper bits of the registers do not change. */
TEST_F(string, index_of_16_bits_wraps)
{
	uint8_t *segment = vm_at(&self->vm, GUEST_DATA);
	struct kvm_regs regs;
	uint8_t data[8];
	size_t bytes;

	vcpu_enter_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, rep_outs16);
	segment[0xffff] = 'z';
	memcpy(segment, "ab", 2);
	start(&self->vcpu, 0, 0x5678ffff, 0x12340003);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	ASSERT_EQ(3U, bytes);
	EXPECT_EQ(0, memcmp(data, "zab", 3));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x56780002U, regs.rsi);
	EXPECT_EQ(0x12340000U, regs.rcx);
	vcpu_set_rip(&self->vcpu, 0);
	start(&self->vcpu, RFLAGS_DF, 1, 3);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	EXPECT_EQ(0, memcmp(data, "baz", 3));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0xfffeU, regs.rsi);
}

/* Two bytes at offset 0xffff cross the end of the segment: #GP(0), after the elements before them. */
TEST_F(string, element_across_the_end_of_the_segment_faults)
{
	uint16_t *vectors = vm_at(&self->vm, GUEST_IVT);
	struct kvm_regs regs;
	uint8_t data[8];
	size_t bytes;

	vcpu_enter_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, rep_outsw16);
	/* The handler is the HLT after the instruction. */
	vectors[2 * 13] = 2;
	vectors[2 * 13 + 1] = GUEST_CODE >> 4;
	start(&self->vcpu, 0, 0xfffd, 5);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	EXPECT_EQ(2U, bytes);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0xffffU, regs.rsi & 0xffff);
	EXPECT_EQ(4U, regs.rcx);
	/* IP, CS and FLAGS of the fault. */
	EXPECT_EQ(0U, *(uint16_t *)vm_at(&self->vm, GUEST_DATA + (regs.rsp & 0xffff)));
}

/* ---- counts ---- */

TEST_F(string, count_of_zero_transfers_nothing)
{
	struct kvm_regs regs;
	uint8_t data[8];
	size_t bytes;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, rep_outs64);
	start(&self->vcpu, 0, 0xdead000000000000, 0);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	EXPECT_EQ(0U, bytes);
	/* ECX is zero, and RCX is not. */
	vm_load(&self->vm, GUEST_CODE, rep_ins64_32);
	vcpu_set_rip(&self->vcpu, GUEST_CODE);
	start(&self->vcpu, 0, 0x1234567800000000, 0x1234567800000000);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	EXPECT_EQ(0U, bytes);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0U, regs.rcx & 0xffffffff);
	vcpu_enter_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, rep_ins16);
	start(&self->vcpu, 0, 0x10, 0x12340000);
	ASSERT_EQ(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	EXPECT_EQ(0U, bytes);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x12340000U, regs.rcx);
	EXPECT_EQ(0x10U, regs.rdi);
}

/* More than can exist: it continues to the end of memory. */
TEST_F(string, largest_count_stops_at_the_end_of_memory)
{
	static uint8_t data[GUEST_MEM_SIZE];
	struct kvm_regs regs;
	size_t bytes;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, rep_outs64);
	start(&self->vcpu, 0, GUEST_MEM_SIZE - 5000, ~0UL);
	ASSERT_NE(KVM_EXIT_HLT, run_ports(&self->vcpu, data, sizeof(data), &bytes));
	EXPECT_EQ(5000U, bytes);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ((uint64_t)GUEST_MEM_SIZE, regs.rsi);
	EXPECT_EQ(~0UL - 5000, regs.rcx);
}

/* ---- widths ---- */

GUEST_ASM(insl64, 64, "insl\n	hlt\n");

/* The second page is removed between the exit and its completion: nothing of the element is stored. */
TEST_F(string, element_across_two_pages_is_stored_whole_or_not_at_all)
{
	const uint64_t linear = 0x20000000;

	vcpu_enter_long(&self->vcpu);
	vcpu_install_event_log(&self->vcpu);
	vm_write64(&self->vm, GUEST_PD + (linear >> 21) * 8, (GUEST_FREE + 0x6000) | PTE_PW);
	vm_write64(&self->vm, GUEST_FREE + 0x6000, SOURCE | PTE_PW);
	vm_write64(&self->vm, GUEST_FREE + 0x6008, (SOURCE + 0x1000) | PTE_PW);
	vm_write64(&self->vm, EVENT_STOP, 14);
	vm_load(&self->vm, GUEST_CODE, insl64);
	start(&self->vcpu, 0, linear + 0xffe, 0);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	memset(vcpu_io_data(&self->vcpu), 0xee, 4);
	vm_write64(&self->vm, GUEST_FREE + 0x6008, 0);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_EVENT, 1));
	EXPECT_EQ(14U, event_at(&self->vm, 0)->vector);
	EXPECT_EQ(0U, *(uint16_t *)vm_at(&self->vm, SOURCE + 0xffe));
}

/* ---- alignment ---- */

#define AC_VECTOR 17

/* At privilege level 3, with CR0.AM and RFLAGS.AC. */
static void start_with_alignment_checks(struct vcpu *vcpu, uint64_t index)
{
	struct kvm_sregs sregs;

	vcpu_enter_long(vcpu);
	vcpu_install_event_log(vcpu);
	vm_load(vcpu->vm, GUEST_CODE, rep_outsl64);
	vm_write64(vcpu->vm, EVENT_STOP, AC_VECTOR);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr0 |= CR0_AM;
	sregs.cs.dpl = sregs.ss.dpl = 3;
	sregs.cs.selector = SEL_USER_CODE64 | 3;
	sregs.ss.selector = SEL_USER_DATA | 3;
	vcpu_set_sregs(vcpu, &sregs);
	/* RSP0, for the handler. */
	vm_write64(vcpu->vm, GUEST_TSS + 4, GUEST_STACK);
	/* IOPL is 3. */
	start(vcpu, RFLAGS_AC | 0x3000, index, 2);
}

TEST_F(string, aligned_elements_pass_the_alignment_check)
{
	start_with_alignment_checks(&self->vcpu, SOURCE);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(PORT_TEST_DX, self->vcpu.run->io.port);
	EXPECT_EQ(2U, self->vcpu.run->io.count);
}

TEST_F(string, misaligned_element_is_an_alignment_check)
{
	start_with_alignment_checks(&self->vcpu, SOURCE + 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_EVENT, 1));
	EXPECT_EQ((uint64_t)AC_VECTOR, event_at(&self->vm, 0)->vector);
	EXPECT_EQ(0U, event_at(&self->vm, 0)->error_code);
}

/* ---- between iterations ---- */

GUEST_ASM(sti_rep_outs, 64, "sti\n	rep outsb\n	hlt\n");
#define REP_OUTS	(GUEST_CODE + 1UL)
GUEST_ASM(mov_ss_rep_outs, 64, "mov %ss, %eax\n	sti\n	mov %eax, %ss\n	rep outsb\n	hlt\n");
#define MOV_SS_REP_OUTS	(GUEST_CODE + 5UL)

/* Runs until the handler of the event stops. Returns the number of elements before the event. */
static unsigned int elements_before_event(struct vcpu *vcpu)
{
	unsigned int elements = 0;

	while (vcpu_run(vcpu) == KVM_EXIT_IO && vcpu->run->io.port == PORT_TEST_DX)
		elements += vcpu->run->io.count;
	if (vcpu->run->exit_reason != KVM_EXIT_IO || vcpu->run->io.port != PORT_EVENT)
		die("exit reason %u after %u elements", vcpu->run->exit_reason, elements);
	return elements;
}

static void start_events(struct vcpu *vcpu, unsigned int vector)
{
	vcpu_enter_long(vcpu);
	vcpu_install_event_log(vcpu);
	vm_write64(vcpu->vm, EVENT_STOP, vector);
	start(vcpu, 0, SOURCE, MANY);
}

static void expect_between_iterations(struct __test_metadata *_metadata, struct vcpu *vcpu, unsigned int vector,
				      uint64_t rip)
{
	const struct event_record *event = event_at(vcpu->vm, 0);
	unsigned int elements;

	EXPECT_EQ(vector, event->vector);
	EXPECT_EQ(rip, event->rip);
	EXPECT_EQ(RFLAGS_RF, event->rflags & RFLAGS_RF);
	/* The rest follows. */
	elements = 0;
	while (vcpu_run(vcpu) == KVM_EXIT_IO)
		elements += vcpu->run->io.count;
	EXPECT_EQ((unsigned int)KVM_EXIT_HLT, vcpu->run->exit_reason);
	EXPECT_EQ(MANY - 1U, elements);
	EXPECT_EQ(1U, event_count(vcpu->vm));
}

TEST_F(string, interrupt_after_sti_is_delivered_after_the_first_element)
{
	struct kvm_interrupt interrupt = { .irq = IRQ_VECTOR };

	if (!device_is_vregcache())
		SKIP(return, "%s accepts an interrupt only when it can be delivered", device_path());
	start_events(&self->vcpu, IRQ_VECTOR);
	vm_load(&self->vm, GUEST_CODE, sti_rep_outs);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_INTERRUPT, &interrupt));
	EXPECT_EQ(1U, elements_before_event(&self->vcpu));
	expect_between_iterations(_metadata, &self->vcpu, IRQ_VECTOR, REP_OUTS);
}

TEST_F(string, interrupt_after_mov_ss_is_delivered_after_the_first_element)
{
	struct kvm_interrupt interrupt = { .irq = IRQ_VECTOR };

	if (!device_is_vregcache())
		SKIP(return, "%s accepts an interrupt only when it can be delivered", device_path());
	start_events(&self->vcpu, IRQ_VECTOR);
	vm_load(&self->vm, GUEST_CODE, mov_ss_rep_outs);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_INTERRUPT, &interrupt));
	EXPECT_EQ(1U, elements_before_event(&self->vcpu));
	expect_between_iterations(_metadata, &self->vcpu, IRQ_VECTOR, MOV_SS_REP_OUTS);
}

TEST_F(string, nmi_after_sti_is_delivered_after_the_first_element)
{
	start_events(&self->vcpu, 2);
	vm_load(&self->vm, GUEST_CODE, sti_rep_outs);
	/* At the first element, while STI blocks the NMI. */
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_set_rip(&self->vcpu, GUEST_CODE);
	start(&self->vcpu, 0, SOURCE, MANY);
	vcpu_complete_io(&self->vcpu);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(0, ioctl_errno(self->vcpu.fd, KVM_NMI, 0));
	/* This exit has its elements already; the next ones come after the NMI. */
	EXPECT_EQ(0U, elements_before_event(&self->vcpu));
	EXPECT_EQ(2U, event_at(&self->vm, 0)->vector);
	EXPECT_EQ(REP_OUTS, event_at(&self->vm, 0)->rip);
	EXPECT_EQ(RFLAGS_RF, event_at(&self->vm, 0)->rflags & RFLAGS_RF);
}

/* An NMI that is pending from the start, and blocked by STI where STI blocks NMIs, comes at the first chance. */
TEST_F(string, pending_nmi_is_taken_after_at_most_one_element)
{
	start_events(&self->vcpu, 2);
	vm_load(&self->vm, GUEST_CODE, sti_rep_outs);
	ASSERT_EQ(0, ioctl_errno(self->vcpu.fd, KVM_NMI, 0));
	EXPECT_LE(elements_before_event(&self->vcpu), 1U);
}

TEST_F(string, interrupt_window_opens_after_the_first_element)
{
	struct kvm_run *run = self->vcpu.run;

	start_events(&self->vcpu, IRQ_VECTOR);
	vm_load(&self->vm, GUEST_CODE, sti_rep_outs);
	run->request_interrupt_window = 1;
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(1U, run->io.count);
	ASSERT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, vcpu_run(&self->vcpu));
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
}

TEST_HARNESS_MAIN
