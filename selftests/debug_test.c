// SPDX-License-Identifier: GPL-2.0
/*
 * Debug exceptions of instructions that the module emulates: I/O and data breakpoints, single steps between the
 * iterations of a repeated instruction, general detect, and the values that debug registers accept.
 */
#include "lib/harness.h"

#include <sys/ioctl.h>

#include "lib/event_log.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define DEBUG_VECTOR	1
#define DR6_BD		0x2000UL
#define DR6_BS		0x4000UL
#define DR6_INITIAL	0xffff0ff0UL
#define DR7_FIXED	0x400UL
#define DR7_GD		0x2000UL

/* The fields of breakpoint n in DR7. */
#define ENABLE(n)		(1UL << 2 * (n))
#define KIND(n, kind)		((kind) << (16 + 4 * (n)))
#define LENGTH(n, length)	((length) << (18 + 4 * (n)))
#define CODE	0UL
#define WRITES	1UL
#define IO	2UL
#define DATA	3UL
#define BYTES_1	0UL
#define BYTES_2	1UL
#define BYTES_8	2UL
#define BYTES_4	3UL

#define SOURCE	(GUEST_FREE + 0x8000UL)
#define TARGET	(GUEST_FREE + 0x9000UL)

FIXTURE(debug) {
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_debugregs debug;
};

FIXTURE_SETUP(debug)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vcpu_install_event_log(&self->vcpu);
	self->debug = (struct kvm_debugregs) { .dr6 = DR6_INITIAL, .dr7 = DR7_FIXED };
}

FIXTURE_TEARDOWN(debug)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* The handlers return with TF unchanged, so a guest is single-stepped until it clears TF itself. */
GUEST_ASM(ports, 64,
	"	out %al, (%dx)\n"
	"	out %eax, (%dx)\n"
	"	in (%dx), %al\n"
	"	hlt\n");
GUEST_ASM(outs, 64, "outsb\n	hlt\n");
GUEST_ASM(ins, 64, "insb\n	hlt\n");
GUEST_ASM(rep_outs, 64, "rep outsb\n	hlt\n");
GUEST_ASM(rep_ins, 64, "rep insb\n	hlt\n");
GUEST_ASM(rep_outs_popf, 64,
	"	rep outsb\n"
	"	pushq $2\n"
	"	popfq\n"
	"	hlt\n");

static void start(struct vcpu *vcpu, uint64_t rflags, uint64_t port, uint64_t count)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED | rflags, .rdx = port, .rcx = count,
		.rsi = SOURCE, .rdi = TARGET, .rax = 0x11223344,
	};

	vcpu_set_regs(vcpu, &regs);
}

static void set_cr4(struct vcpu *vcpu, uint64_t bits)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr4 |= bits;
	vcpu_set_sregs(vcpu, &sregs);
}

static void set_debug(struct vcpu *vcpu, struct kvm_debugregs *debug)
{
	if (ioctl_ptr(vcpu->fd, KVM_SET_DEBUGREGS, debug))
		die("KVM_SET_DEBUGREGS");
}

/* Runs through all port exits. Returns the number of elements that they carried. */
static unsigned int run_to_hlt(struct vcpu *vcpu)
{
	unsigned int elements = 0;

	while (vcpu_run(vcpu) == KVM_EXIT_IO)
		elements += vcpu->run->io.count;
	if (vcpu->run->exit_reason != KVM_EXIT_HLT)
		die("exit reason %u", vcpu->run->exit_reason);
	return elements;
}

#define EXPECT_DEBUG(index, address, causes)						\
	do {										\
		const struct event_record *event_ = event_at(&self->vm, (index));	\
											\
		EXPECT_EQ((uint64_t)DEBUG_VECTOR, event_->vector);			\
		EXPECT_EQ((uint64_t)(address), event_->rip);				\
		EXPECT_EQ(DR6_INITIAL | (causes), event_->dr6);				\
	} while (0)

/* ---- I/O breakpoints ---- */

TEST_F(debug, io_breakpoint_traps_after_the_instruction)
{
	set_cr4(&self->vcpu, CR4_DE);
	self->debug.db[0] = PORT_TEST_DX;
	self->debug.dr7 |= ENABLE(0) | KIND(0, IO) | LENGTH(0, BYTES_1);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, ports);
	start(&self->vcpu, 0, PORT_TEST_DX, 0);
	EXPECT_EQ(3U, run_to_hlt(&self->vcpu));
	ASSERT_EQ(3U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE + 1, 1UL << 0);
	EXPECT_DEBUG(1, GUEST_CODE + 2, 1UL << 0);
	EXPECT_DEBUG(2, GUEST_CODE + 3, 1UL << 0);
}

/* A four-byte access hits breakpoints on any of its bytes, a one-byte access only on its own. */
TEST_F(debug, io_breakpoint_has_a_length)
{
	set_cr4(&self->vcpu, CR4_DE);
	self->debug.db[2] = PORT_TEST_DX + 3;
	self->debug.db[3] = PORT_TEST_DX + 5;
	self->debug.dr7 |= ENABLE(2) | KIND(2, IO) | LENGTH(2, BYTES_2);
	self->debug.dr7 |= ENABLE(3) | KIND(3, IO) | LENGTH(3, BYTES_4);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, ports);
	start(&self->vcpu, 0, PORT_TEST_DX, 0);
	EXPECT_EQ(3U, run_to_hlt(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	/* Aligned to its two bytes, breakpoint 2 begins at offset 2; breakpoint 3 begins at 4. */
	EXPECT_DEBUG(0, GUEST_CODE + 2, 1UL << 2);
}

TEST_F(debug, io_breakpoint_needs_cr4_de_and_its_enable_bit)
{
	self->debug.db[0] = self->debug.db[1] = PORT_TEST_DX;
	self->debug.dr7 |= ENABLE(0) | KIND(0, IO) | KIND(1, IO);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, ports);
	start(&self->vcpu, 0, PORT_TEST_DX, 0);
	EXPECT_EQ(3U, run_to_hlt(&self->vcpu));
	EXPECT_EQ(0U, event_count(&self->vm));
	set_cr4(&self->vcpu, CR4_DE);
	start(&self->vcpu, 0, PORT_TEST_DX + 0x100, 0);
	EXPECT_EQ(3U, run_to_hlt(&self->vcpu));
	EXPECT_EQ(0U, event_count(&self->vm));
	start(&self->vcpu, 0, PORT_TEST_DX, 0);
	EXPECT_EQ(3U, run_to_hlt(&self->vcpu));
	ASSERT_EQ(3U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE + 1, 1UL << 0);
}

/* One exception for both. */
TEST_F(debug, io_breakpoint_and_single_step_are_one_exception)
{
	set_cr4(&self->vcpu, CR4_DE);
	self->debug.db[1] = PORT_TEST_DX;
	self->debug.dr7 |= ENABLE(1) | KIND(1, IO);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, ports);
	vm_write64(&self->vm, EVENT_STOP, DEBUG_VECTOR);
	start(&self->vcpu, RFLAGS_TF, PORT_TEST_DX, 0);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_EVENT, 1));
	EXPECT_DEBUG(0, GUEST_CODE + 1, 1UL << 1 | DR6_BS);
}

TEST_F(debug, io_breakpoint_traps_after_each_iteration)
{
	set_cr4(&self->vcpu, CR4_DE);
	self->debug.db[0] = PORT_TEST_DX;
	self->debug.dr7 |= ENABLE(0) | KIND(0, IO);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, rep_outs);
	start(&self->vcpu, 0, PORT_TEST_DX, 3);
	EXPECT_EQ(3U, run_to_hlt(&self->vcpu));
	ASSERT_EQ(3U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE, 1UL << 0);
	EXPECT_DEBUG(1, GUEST_CODE, 1UL << 0);
	EXPECT_DEBUG(2, GUEST_CODE + 2, 1UL << 0);
	/* Except after the last one the instruction continues, so RF is set. */
	EXPECT_EQ(RFLAGS_RF, event_at(&self->vm, 0)->rflags & RFLAGS_RF);
	EXPECT_EQ(RFLAGS_RF, event_at(&self->vm, 1)->rflags & RFLAGS_RF);
	EXPECT_EQ(0U, event_at(&self->vm, 2)->rflags & RFLAGS_RF);
}

/* ---- data breakpoints ---- */

TEST_F(debug, data_breakpoint_of_outs)
{
	self->debug.db[0] = SOURCE;
	self->debug.db[1] = SOURCE;
	self->debug.db[2] = SOURCE + 1;
	self->debug.dr7 |= ENABLE(0) | KIND(0, DATA) | ENABLE(1) | KIND(1, WRITES) | ENABLE(2) | KIND(2, DATA);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, outs);
	start(&self->vcpu, 0, PORT_TEST_DX, 0);
	EXPECT_EQ(1U, run_to_hlt(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	/* OUTS only reads. */
	EXPECT_DEBUG(0, GUEST_CODE + 1, 1UL << 0);
}

TEST_F(debug, data_breakpoint_of_ins)
{
	self->debug.db[0] = TARGET;
	self->debug.db[1] = TARGET;
	self->debug.db[3] = TARGET + 4;
	self->debug.dr7 |= ENABLE(0) | KIND(0, DATA) | ENABLE(1) | KIND(1, WRITES);
	self->debug.dr7 |= ENABLE(3) | KIND(3, WRITES) | LENGTH(3, BYTES_8);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, ins);
	start(&self->vcpu, 0, PORT_TEST_DX, 0);
	EXPECT_EQ(1U, run_to_hlt(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE + 1, 1UL << 0 | 1UL << 1 | 1UL << 3);
}

/* The third iteration of five. */
TEST_F(debug, data_breakpoint_traps_after_its_iteration)
{
	struct kvm_regs regs;

	self->debug.db[0] = TARGET + 2;
	self->debug.dr7 |= ENABLE(0) | KIND(0, WRITES);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, rep_ins);
	vm_write64(&self->vm, EVENT_STOP, DEBUG_VECTOR);
	start(&self->vcpu, 0, PORT_TEST_DX, 5);
	do {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	} while (self->vcpu.run->io.port == PORT_TEST_DX);
	EXPECT_DEBUG(0, GUEST_CODE, 1UL << 0);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(2U, regs.rcx);
	EXPECT_EQ(TARGET + 3, regs.rdi);
	EXPECT_EQ(2U, run_to_hlt(&self->vcpu));
	EXPECT_EQ(1U, event_count(&self->vm));
}

/* The access runs backwards over the edge of the breakpoint. */
TEST_F(debug, data_breakpoint_of_a_backward_instruction)
{
	self->debug.db[0] = SOURCE - 1;
	self->debug.dr7 |= ENABLE(0) | KIND(0, DATA);
	set_debug(&self->vcpu, &self->debug);
	vm_load(&self->vm, GUEST_CODE, rep_outs);
	start(&self->vcpu, RFLAGS_DF, PORT_TEST_DX, 3);
	EXPECT_EQ(3U, run_to_hlt(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE, 1UL << 0);
}

/* ---- code breakpoints ---- */

/* RF suppresses it, as it does after the handler has returned, also at the iterations after the first. */
TEST_F(debug, code_breakpoint_on_a_repeated_instruction_does_not_fire_again)
{
	const uint8_t *const code[] = { guest_rep_outs, guest_rep_ins };

	if (machine_is_tcg())
		SKIP(return, "QEMU does not arm breakpoints at VM-entry");
	self->debug.db[0] = GUEST_CODE;
	self->debug.dr7 |= ENABLE(0) | KIND(0, CODE);
	set_debug(&self->vcpu, &self->debug);
	vm_write64(&self->vm, EVENT_STOP, DEBUG_VECTOR);
	for (unsigned int i = 0; i < 2; i++) {
		vm_load_bytes(&self->vm, GUEST_CODE, code[i], guest_rep_outs_end - guest_rep_outs);
		start(&self->vcpu, RFLAGS_RF, PORT_TEST_DX, 3);
		for (unsigned int element = 0; element < 3; element++) {
			ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
			ASSERT_EQ(PORT_TEST_DX, self->vcpu.run->io.port);
		}
		EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	}
	EXPECT_EQ(0U, event_count(&self->vm));
}

/* ---- single steps ---- */

TEST_F(debug, single_step_traps_after_each_iteration)
{
	unsigned int elements;

	vm_load(&self->vm, GUEST_CODE, rep_outs_popf);
	start(&self->vcpu, RFLAGS_TF, PORT_TEST_DX, 3);
	elements = run_to_hlt(&self->vcpu);
	EXPECT_EQ(3U, elements);
	/* Three iterations, PUSHF, and POPF, which is stepped because TF was set before it. */
	ASSERT_EQ(5U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE, DR6_BS);
	EXPECT_DEBUG(1, GUEST_CODE, DR6_BS);
	EXPECT_DEBUG(2, GUEST_CODE + 2, DR6_BS);
	EXPECT_EQ(RFLAGS_RF, event_at(&self->vm, 0)->rflags & RFLAGS_RF);
	EXPECT_EQ(RFLAGS_RF, event_at(&self->vm, 1)->rflags & RFLAGS_RF);
	EXPECT_EQ(0U, event_at(&self->vm, 2)->rflags & RFLAGS_RF);
}

/* ---- general detect ---- */

GUEST_ASM(mov_dr, 64,
	"	mov %rax, %dr7\n"
	"	mov %dr0, %rbx\n"
	"	hlt\n");
GUEST_ASM(mov_dr7_high, 64,
	"	mov %rax, %dr7\n"
	"	mov %rcx, %dr7\n"
	"	hlt\n");
GUEST_ASM(mov_dr4, 64,
	"	mov %rax, %dr7\n"
	"	.byte 0x0f, 0x21, 0xe3\n"	/* mov %dr4, %rbx */
	"	hlt\n");

/* It is a fault, so RF is set in the saved flags, and a breakpoint on the instruction does not fire twice. */
TEST_F(debug, general_detect)
{
	vm_load(&self->vm, GUEST_CODE, mov_dr);
	start(&self->vcpu, 0, 0, 0);
	{
		struct kvm_regs regs;

		vcpu_get_regs(&self->vcpu, &regs);
		regs.rax = DR7_FIXED | DR7_GD;
		vcpu_set_regs(&self->vcpu, &regs);
	}
	run_to_hlt(&self->vcpu);
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE + 3, DR6_BD);
	EXPECT_EQ(RFLAGS_RF, event_at(&self->vm, 0)->rflags & RFLAGS_RF);
}

/* A value that DR7 does not accept would cause #GP, but general detect comes first. */
TEST_F(debug, general_detect_precedes_the_value_check)
{
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, mov_dr7_high);
	vm_write64(&self->vm, EVENT_STOP, DEBUG_VECTOR);
	start(&self->vcpu, 0, 0, 1UL << 32);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rax = DR7_FIXED | DR7_GD;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_DEBUG(0, GUEST_CODE + 3, DR6_BD);
}

/* DR4 does not exist with CR4.DE, so general detect does not apply. */
TEST_F(debug, undefined_register_precedes_general_detect)
{
	struct kvm_regs regs;

	set_cr4(&self->vcpu, CR4_DE);
	vm_load(&self->vm, GUEST_CODE, mov_dr4);
	vm_write64(&self->vm, EVENT_STOP, 6);
	start(&self->vcpu, 0, 0, 0);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rax = DR7_FIXED | DR7_GD;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	/* The handler reads DR6, so general detect occurs there instead. */
	ASSERT_EQ(2U, event_count(&self->vm));
	EXPECT_EQ(6U, event_at(&self->vm, 0)->vector);
	EXPECT_EQ(GUEST_CODE + 3UL, event_at(&self->vm, 0)->rip);
}

/* ---- values ---- */

GUEST_ASM(mov_to_drs, 64,
	"	mov %rax, %dr0\n"
	"	mov %rax, %dr1\n"
	"	mov %rax, %dr2\n"
	"	mov %rax, %dr3\n"
	"	mov %dr3, %rbx\n"
	"	hlt\n");

/* They are compared with existing addresses, but accept any other value as well. */
TEST_F(debug, breakpoint_addresses_need_not_be_canonical)
{
	const uint64_t values[] = { 1UL << 63, 0x0000800000000000, 0xdead000000000001, ~0UL };
	struct kvm_debugregs got;
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, mov_to_drs);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		start(&self->vcpu, 0, 0, 0);
		vcpu_get_regs(&self->vcpu, &regs);
		regs.rax = values[i];
		vcpu_set_regs(&self->vcpu, &regs);
		run_to_hlt(&self->vcpu);
		EXPECT_EQ(0U, event_count(&self->vm));
		vcpu_get_regs(&self->vcpu, &regs);
		EXPECT_EQ(values[i], regs.rbx);
		for (int n = 0; n < 4; n++)
			self->debug.db[n] = ~values[i];
		EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &self->debug));
		ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_DEBUGREGS, &got));
		EXPECT_EQ(~values[i], got.db[3]);
	}
	/* Also when enabled. */
	self->debug.dr7 |= ENABLE(0) | KIND(0, WRITES) | ENABLE(1);
	EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &self->debug));
	start(&self->vcpu, 0, 0, 0);
	run_to_hlt(&self->vcpu);
	EXPECT_EQ(0U, event_count(&self->vm));
}

TEST_HARNESS_MAIN
