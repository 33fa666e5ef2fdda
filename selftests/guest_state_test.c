// SPDX-License-Identifier: GPL-2.0
/*
 * A guest cannot make VM-entry fail: it gets the exception that a CPU would raise. An ioctl refuses values that no CPU
 * can hold. KVM_RUN refuses combinations that are invalid, and userspace can then correct the state.
 */
#include "lib/harness.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "lib/cpuid.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/random.h"
#include "lib/rounds.h"
#include "lib/test_module.h"
#include "lib/vm.h"

#define MSR_EFER		0xc0000080
#define GUEST_STATE		0x80000021ULL
#define GENERAL_PROTECTION	13
#define ROUNDS			rounds(400)

FIXTURE(state) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(state)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
}

FIXTURE_TEARDOWN(state)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Calls KVM_RUN. Returns the hardware's reason if it ends with KVM_EXIT_FAIL_ENTRY, else 0. */
static uint64_t failed_entry(struct vcpu *vcpu)
{
	if (ioctl(vcpu->fd, KVM_RUN, 0UL))
		die("KVM_RUN");
	if (vcpu->run->exit_reason != KVM_EXIT_FAIL_ENTRY)
		return 0;
	return vcpu->run->fail_entry.hardware_entry_failure_reason;
}

/* ---- actions of a guest ---- */

/* Enables IA-32e mode as the SDM describes, then halts; a TSS descriptor is loaded first. */
GUEST_ASM(to_long_mode, 32,
	"	ltr %bx\n"
	"	mov $0xc0000080, %ecx\n"
	"	rdmsr\n"
	"	or $0x100, %eax\n"
	"	wrmsr\n"
	"	mov %cr0, %eax\n"
	"	or $0x80000000, %eax\n"
	"	mov %eax, %cr0\n"
	"	hlt\n");

#define TSS_16		0x0000810000000067UL
#define TSS_32		0x0000890000000067UL

static uint64_t go_to_long_mode(struct vcpu *vcpu, uint64_t tss)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_enter_protected(vcpu);
	vcpu_install_idt32(vcpu);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr3 = GUEST_PML4;
	sregs.cr4 |= CR4_PAE;
	vcpu_set_sregs(vcpu, &sregs);
	vm_write64(vcpu->vm, GUEST_GDT + SEL_TSS, tss | (uint64_t)GUEST_TSS << 16);
	vm_load(vcpu->vm, GUEST_CODE, to_long_mode);
	vm_write64(vcpu->vm, GUEST_EXC_RECORD + EXC_RESUME,
		   GUEST_CODE + (guest_to_long_mode_end - guest_to_long_mode) - 1);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = SEL_TSS;
	vcpu_set_regs(vcpu, &regs);
	if (vcpu_run(vcpu) != KVM_EXIT_HLT)
		die("exit reason %u", vcpu->run->exit_reason);
	return vm_read64(vcpu->vm, GUEST_EXC_RECORD + EXC_COUNT);
}

TEST_F(state, long_mode_with_a_32_bit_tss)
{
	struct kvm_sregs sregs;

	EXPECT_EQ(0U, go_to_long_mode(&self->vcpu, TSS_32));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(EFER_LMA, sregs.efer & EFER_LMA);
	/* A loaded TSS is busy. */
	EXPECT_EQ(11, sregs.tr.type);
}

TEST_F(state, long_mode_with_a_16_bit_tss_is_general_protection)
{
	struct kvm_sregs sregs;

	EXPECT_EQ(1U, go_to_long_mode(&self->vcpu, TSS_16));
	EXPECT_EQ((uint64_t)GENERAL_PROTECTION, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR));
	EXPECT_EQ(0U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_ERROR));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(0U, sregs.cr0 & CR0_PG);
	EXPECT_EQ(0U, sregs.efer & EFER_LMA);
	EXPECT_EQ(3, sregs.tr.type);
}

GUEST_ASM(far_jump, 32,
	"1:	ljmp $" GUEST_STRING(SEL_CODE32) ", $(" GUEST_STRING(GUEST_CODE) " + 2f - 1b)\n"
	"2:	out %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	hlt\n");

/* The descriptor is not marked as accessed before it is loaded. */
TEST_F(state, code_segment_that_is_loaded_is_accessed)
{
	struct kvm_sregs sregs;

	vcpu_enter_protected(&self->vcpu);
	vm_write64(&self->vm, GUEST_GDT + SEL_CODE32, vm_read64(&self->vm, GUEST_GDT + SEL_CODE32) & ~(1UL << 40));
	vm_load(&self->vm, GUEST_CODE, far_jump);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(11, sregs.cs.type);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

/* ---- values that no CPU can hold ---- */

TEST_F(state, reserved_flags_are_refused)
{
	static const int bits[] = { 3, 5, 15, 22, 31, 32, 63 };
	struct kvm_regs regs, attempt, now;

	if (!device_is_vregcache())
		SKIP(return, "%s fails when it is to run", device_path());
	vcpu_enter_long(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &regs);
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		attempt = regs;
		attempt.rflags |= 1UL << bits[i];
		attempt.rax = 0x1234;
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_REGS, &attempt))
			TH_LOG("bit %d", bits[i]);
		vcpu_get_regs(&self->vcpu, &now);
		EXPECT_EQ(0, memcmp(&regs, &now, sizeof(regs)));
	}
}

TEST_F(state, rip_that_no_cpu_holds_is_refused)
{
	static const uint64_t bad[] = { 1UL << 63, 0x1000000000000000, 0x8fffffffffffffff };
	/* Also just after the last instruction of the lower half, which a CPU can reach. */
	static const uint64_t good[] = { 0, 0xffffffff, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, ~0UL };
	struct kvm_regs regs, now;

	if (!device_is_vregcache())
		SKIP(return, "%s fails when it is to run", device_path());
	vcpu_get_regs(&self->vcpu, &regs);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		now = regs;
		now.rip = bad[i];
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_REGS, &now));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		regs.rip = good[i];
		EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_REGS, &regs));
	}
}

#define EXPECT_REFUSED(change)									\
	do {											\
		struct kvm_sregs before, attempt, after;					\
												\
		vcpu_get_sregs(&self->vcpu, &before);						\
		attempt = before;								\
		attempt.cr2 ^= 0x1000;								\
		change;										\
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &attempt));		\
		vcpu_get_sregs(&self->vcpu, &after);						\
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));				\
	} while (0)

TEST_F(state, segments_that_no_cpu_holds_are_refused)
{
	if (!device_is_vregcache())
		SKIP(return, "%s fails when it is to run", device_path());
	vcpu_enter_protected(&self->vcpu);
	EXPECT_REFUSED(attempt.tr.type = 9);
	EXPECT_REFUSED(attempt.tr.type = 2);
	EXPECT_REFUSED(attempt.tr.s = 1);
	EXPECT_REFUSED(attempt.tr.unusable = 1);
	EXPECT_REFUSED((attempt.ldt.unusable = 0, attempt.ldt.present = 1, attempt.ldt.type = 11));
	EXPECT_REFUSED(attempt.cs.type = 1);
	EXPECT_REFUSED(attempt.cs.s = 0);
	EXPECT_REFUSED(attempt.cs.base = 1UL << 32);
	EXPECT_REFUSED(attempt.cs.g = 0);
	EXPECT_REFUSED(attempt.ss.limit = 0x12345678);
	EXPECT_REFUSED(attempt.ss.type = 1);
	EXPECT_REFUSED(attempt.ds.base = 1UL << 40);
	EXPECT_REFUSED(attempt.es.type = 9);
	EXPECT_REFUSED(attempt.fs.base = 1UL << 63);
	EXPECT_REFUSED(attempt.gdt.base = 1UL << 62);
	EXPECT_REFUSED(attempt.cr3 = 1UL << 60);
	/* Whatever RFLAGS.VM is, one of the two is wrong. */
	EXPECT_REFUSED((attempt.cs.dpl = 3, attempt.ss.dpl = 1));
}

/* The 16-bit TSS and IA-32e mode are in the same structure. */
TEST_F(state, long_mode_with_a_16_bit_tss_is_refused)
{
	if (!device_is_vregcache())
		SKIP(return, "%s fails when it is to run", device_path());
	vcpu_enter_long(&self->vcpu);
	EXPECT_REFUSED(attempt.tr.type = 3);
}

/* ---- values that are invalid only in combination ---- */

GUEST_ASM(halt, 64, "hlt\n");

TEST_F(state, rip_may_come_before_the_mode_that_it_needs)
{
	const uint64_t high = 1UL << 39;
	struct kvm_regs regs;

	vm_write_tables(&self->vm);
	vm_load(&self->vm, GUEST_CODE, halt);
	vcpu_enter_protected(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rip = high + GUEST_CODE;
	vcpu_set_regs(&self->vcpu, &regs);
	EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	vcpu_enter_long(&self->vcpu);
	vm_write64(&self->vm, GUEST_PML4 + 8, vm_read64(&self->vm, GUEST_PML4));
	vcpu_set_regs(&self->vcpu, &regs);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

TEST_F(state, efer_of_set_msrs_is_judged_at_the_run)
{
	uint64_t efer;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, halt);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_EFER, &efer));
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_EFER, efer & ~EFER_LME));
	EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_EFER, efer));
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

/* The page-directory pointers are in memory that is added later. */
TEST_F(state, sregs_may_come_before_memory)
{
	uint8_t *memory = host_alloc(GUEST_MEM_SIZE);
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vcpu vcpu;
	struct vm bare;

	vcpu_enter_pae(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &sregs);
	vcpu_get_regs(&self->vcpu, &regs);
	memcpy(memory, self->vm.mem, GUEST_MEM_SIZE);
	memory[GUEST_CODE] = 0xf4;
	vm_create_bare(&bare);
	vcpu_create(&vcpu, &bare, 0);
	vcpu_set_sregs(&vcpu, &sregs);
	vcpu_set_regs(&vcpu, &regs);
	if (device_is_vregcache()) {
		EXPECT_EQ(GUEST_STATE, failed_entry(&vcpu));
	}
	ASSERT_EQ(0, vm_set_slot(&bare, 0, 0, 0, GUEST_MEM_SIZE, memory));
	/* KVM has loaded none, and does not try again. */
	if (device_is_vregcache()) {
		EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&vcpu));
	}
	vcpu_destroy(&vcpu);
	vm_destroy(&bare);
	munmap(memory, GUEST_MEM_SIZE);
}

/* ---- whole states, at random, in every order ---- */

#define PICK(values) ((values)[random_below(sizeof(values) / sizeof((values)[0]))])

static void random_segment(struct kvm_segment *segment)
{
	static const uint64_t bases[] = { 0, 0x10000, GUEST_CODE, 0xffff0000, 1UL << 32, 1UL << 47, 1UL << 63 };
	static const uint32_t limits[] = { 0, 0xfff, 0xffff, 0xfffff, 0x100000, 0xffffffff };

	switch (random_below(8)) {
	case 0:
		segment->base = PICK(bases);
		break;
	case 1:
		segment->limit = PICK(limits);
		break;
	case 2:
		segment->type = random_below(16);
		break;
	case 3:
		segment->dpl = random_below(4);
		break;
	case 4:
		segment->s ^= 1;
		break;
	case 5:
		segment->g ^= 1;
		break;
	case 6:
		segment->unusable ^= 1;
		break;
	default:
		segment->selector = random_below(0x10000);
		break;
	}
}

static void random_sregs(struct vcpu *vcpu)
{
	static const uint64_t cr0_bits[] = { CR0_PE, CR0_PG, CR0_WP, CR0_AM, CR0_TS, CR0_EM, CR0_NE, CR0_CD };
	static const uint64_t cr4_bits[] = { CR4_PAE, CR4_PSE, CR4_PGE, CR4_DE, CR4_OSFXSR, CR4_TSD };
	static const uint64_t efer_bits[] = { EFER_LME | EFER_LMA, EFER_NX, EFER_SCE, EFER_LME };
	static const uint64_t cr3s[] = { 0, GUEST_PML4, GUEST_PD32, GUEST_PDPT_PAE, 1UL << 31, 1UL << 35 };
	struct kvm_sregs sregs;
	unsigned int changes;

	vcpu_get_sregs(vcpu, &sregs);
	for (changes = random_below(3); changes; changes--) {
		switch (random_below(8)) {
		case 0:
			sregs.cr0 ^= PICK(cr0_bits);
			break;
		case 1:
			sregs.cr4 ^= PICK(cr4_bits);
			break;
		case 2:
			sregs.efer ^= PICK(efer_bits);
			break;
		case 3:
			sregs.cr3 = PICK(cr3s);
			break;
		default: {
			struct kvm_segment *segments[] = {
				&sregs.cs, &sregs.ss, &sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.tr, &sregs.ldt,
			};

			random_segment(PICK(segments));
			break;
		}
		}
	}
	ioctl_ptr(vcpu->fd, KVM_SET_SREGS, &sregs);
}

static void random_regs(struct vcpu *vcpu)
{
	static const uint64_t flags[] = {
		RFLAGS_IF, RFLAGS_TF, RFLAGS_VM, RFLAGS_RF, RFLAGS_AC, RFLAGS_DF, 1 << 14, 0x3000, 1 << 3, 1 << 19, 1 << 20,
	};
	static const uint64_t rips[] = { 0, GUEST_CODE, 0xfff0, 0xfffffffe, 1UL << 32, 0x7ffffffffffe, 1UL << 63 };
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	if (random_below(2))
		regs.rflags ^= PICK(flags);
	if (random_below(3) == 0)
		regs.rip = PICK(rips);
	ioctl_ptr(vcpu->fd, KVM_SET_REGS, &regs);
}

static void random_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	if (ioctl_ptr(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		die("KVM_GET_VCPU_EVENTS");
	events.exception.injected = random_below(4) == 0;
	events.exception.nr = random_below(32);
	events.exception.has_error_code = random_below(2);
	events.interrupt.injected = random_below(4) == 0;
	events.interrupt.nr = random_below(256);
	events.interrupt.soft = 0;
	events.interrupt.shadow = random_below(4);
	events.nmi.injected = random_below(4) == 0;
	events.nmi.pending = random_below(3);
	events.nmi.masked = random_below(2);
	ioctl_ptr(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

static void random_debugregs(struct vcpu *vcpu)
{
	struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 | random_below(0x10000) };

	for (int i = 0; i < 4; i++)
		debug.db[i] = random64();
	ioctl_ptr(vcpu->fd, KVM_SET_DEBUGREGS, &debug);
}

static void random_efer(struct vcpu *vcpu)
{
	static const uint64_t bits[] = { EFER_LME, EFER_NX, EFER_SCE, EFER_LMA };
	uint64_t efer;

	vcpu_get_msr(vcpu, MSR_EFER, &efer);
	vcpu_set_msr(vcpu, MSR_EFER, efer ^ PICK(bits));
}

static void random_set(struct vcpu *vcpu)
{
	switch (random_below(6)) {
	case 0:
		random_regs(vcpu);
		break;
	case 1:
		random_events(vcpu);
		break;
	case 2:
		random_debugregs(vcpu);
		break;
	case 3:
		random_efer(vcpu);
		break;
	default:
		random_sregs(vcpu);
		break;
	}
}

static void (*const enter[])(struct vcpu *) = {
	vcpu_enter_real, vcpu_enter_protected, vcpu_enter_paging32, vcpu_enter_pae, vcpu_enter_long,
};

/*
 * Instructions that are defined in every mode, most of them related to the mode: MOV to and from control and debug
 * registers, WRMSR of EFER, LTR, LMSW, far jumps and returns, POPF, STI, string I/O.
 */
static void random_code(struct vm *vm)
{
	static const struct {
		uint8_t size;
		uint8_t bytes[8];
	} pieces[] = {
		{ 3, { 0x0f, 0x20, 0xc0 } }, { 3, { 0x0f, 0x22, 0xc0 } }, { 3, { 0x0f, 0x20, 0xe0 } },
		{ 3, { 0x0f, 0x22, 0xe0 } }, { 3, { 0x0f, 0x22, 0xd8 } }, { 3, { 0x0f, 0x22, 0xd9 } },
		{ 3, { 0x0f, 0x23, 0xf8 } }, { 3, { 0x0f, 0x21, 0xf8 } }, { 3, { 0x0f, 0x23, 0xc0 } },
		{ 2, { 0x0f, 0x30 } }, { 2, { 0x0f, 0x32 } }, { 5, { 0xb9, 0x80, 0x00, 0x00, 0xc0 } },
		{ 5, { 0xb8, 0x00, 0x01, 0x00, 0x00 } }, { 5, { 0xb8, 0x31, 0x00, 0x00, 0x80 } },
		{ 5, { 0xb8, 0x20, 0x06, 0x00, 0x00 } }, { 5, { 0xb8, 0x00, 0x04, 0x00, 0x00 } },
		{ 5, { 0xb8, 0x48, 0x00, 0x00, 0x00 } }, { 3, { 0x0f, 0x00, 0xd8 } }, { 3, { 0x0f, 0x00, 0xd0 } },
		{ 3, { 0x0f, 0x01, 0xf0 } }, { 2, { 0x0f, 0x06 } }, { 1, { 0x9d } }, { 1, { 0x9c } }, { 1, { 0xfb } },
		{ 1, { 0xfa } }, { 1, { 0xf4 } }, { 1, { 0xcf } }, { 1, { 0xcb } }, { 1, { 0x6e } }, { 1, { 0x6c } },
		{ 2, { 0xf3, 0x6e } }, { 2, { 0xe6, 0x20 } }, { 2, { 0x0f, 0xa2 } }, { 2, { 0x8e, 0xd0 } },
		{ 2, { 0x8e, 0xd8 } }, { 1, { 0x17 } }, { 1, { 0x50 } }, { 2, { 0xcd, 0x20 } }, { 1, { 0xf1 } },
		{ 5, { 0x31, 0xc0, 0x31, 0xd2, 0x90 } }, { 2, { 0x35, 0xff } }, { 3, { 0x0f, 0x01, 0xd1 } },
	};
	uint8_t *code = vm_at(vm, GUEST_CODE), *end = code + 256;

	while (code < end - 8) {
		unsigned int i = random_below(sizeof(pieces) / sizeof(pieces[0]));

		memcpy(code, pieces[i].bytes, pieces[i].size);
		code += pieces[i].size;
	}
	memset(code, 0xf4, end - code);
}

static struct kvm_run *run_to_stop;

static void on_alarm(int signal)
{
	(void)signal;
	/* The ioctl would otherwise miss a signal that comes just before it. */
	run_to_stop->immediate_exit = 1;
}

/* Ends the run after a moment, because a guest may loop. */
static void set_alarm(long microseconds)
{
	struct itimerval times = { .it_value.tv_usec = microseconds };

	setitimer(ITIMER_REAL, &times, NULL);
}

/*
 * Ioctls in random order, some of them invalid, set a whole state. If KVM_RUN does not refuse it, the guest runs random
 * code through some exits: no entry after the first fails.
 */
TEST_F(state, what_has_entered_never_fails_to_enter)
{
	struct sigaction action = { .sa_handler = on_alarm };
	unsigned int entered = 0, refused = 0;

	if (!device_is_vregcache())
		SKIP(return, "%s is another matter", device_path());
	sigaction(SIGALRM, &action, NULL);
	/* The log then records every refusal. */
	test_module_load();
	random_start();
	for (unsigned int round = 0; round < ROUNDS; round++) {
		vcpu_destroy(&self->vcpu);
		vm_destroy(&self->vm);
		vm_create(&self->vm, GUEST_MEM_SIZE);
		vcpu_create(&self->vcpu, &self->vm, 0);
		run_to_stop = self->vcpu.run;
		PICK(enter)(&self->vcpu);
		random_code(&self->vm);
		for (unsigned int changes = random_below(6); changes; changes--)
			random_set(&self->vcpu);
		set_alarm(20000);
		for (int exits = 0; exits < 30; exits++) {
			long error = ioctl_errno(self->vcpu.fd, KVM_RUN, 0);
			uint32_t reason = self->vcpu.run->exit_reason;

			if (error == -EINTR)
				break;
			ASSERT_EQ(0, error);
			if (reason == KVM_EXIT_FAIL_ENTRY) {
				ASSERT_EQ(0, exits)
					TH_LOG("round %u, exit %d", round, exits);
				refused++;
				break;
			}
			entered += !exits;
			if (reason == KVM_EXIT_SHUTDOWN || reason == KVM_EXIT_INTERNAL_ERROR)
				break;
		}
		set_alarm(0);
	}
	test_module_unload();
	TH_LOG("%u states entered, %u refused", entered, refused);
	EXPECT_GT(entered, ROUNDS / 4U);
	EXPECT_GT(refused, 0U);
}

TEST_HARNESS_MAIN
