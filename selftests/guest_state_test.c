// SPDX-License-Identifier: GPL-2.0
/*
 * A guest cannot make VM-entry fail: it gets the exception that a CPU would raise. KVM_RUN refuses combinations of
 * values that are invalid, and userspace can then correct the state. Values that are invalid by themselves are in
 * ioctl_errors_test.c.
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
#define MSR_FMASK		0xc0000084
#define MSR_TSC_AUX		0xc0000103
#define GUEST_STATE		0x80000021ULL
#define INVALID_OPCODE		6
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
TEST_F(state, loaded_code_segment_is_marked_accessed)
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

/* ---- exceptions of one instruction ---- */

enum place { LONG, PAE, PROTECTED, USER };

#define MOV_TO_CR0	"\x0f\x22\xc0"
#define MOV_TO_CR4	"\x0f\x22\xe0"
#define MOV_TO_CR8	"\x44\x0f\x22\xc0"
#define WRMSR		"\x0f\x30"
#define MOV_FROM_DR7	"\x0f\x21\xf8"
#define MOV_TO_DR0	"\x0f\x23\xc0"
/* out %al, $PORT_DONE */
#define OUT_DONE	"\xe6\x10"

#define CR4_PCIDE	0x00020000UL
#define CR4_SMXE	0x00004000UL
#define NO_EXCEPTION	(-1)
/* In linux/kvm_para.h. */
#define ENOSYS_OF_KVM	1000

struct attempt {
	const char *name;
	const char *code;
	/* The register whose value, with these bits changed, is in RAX, and for WRMSR in EDX:EAX. */
	enum { NOTHING, CR0, CR4, CR8, MSR } source;
	uint64_t change;
	uint32_t msr;
	enum place place;
	int vector;
	/* Also set by userspace before. */
	uint64_t efer;
};

#define TO_CR(n, change_, vector_, ...) \
	{ .code = MOV_TO_CR##n, .source = CR##n, .change = (change_), .vector = (vector_), __VA_ARGS__ }
#define TO_MSR(msr_, change_, vector_, ...) \
	{ .code = WRMSR, .source = MSR, .msr = (msr_), .change = (change_), .vector = (vector_), __VA_ARGS__ }
#define EXECUTES(code_, vector_, ...) { .code = (code_), .vector = (vector_), __VA_ARGS__ }

/* SDM Vol. 2A and 2B, the instructions' exceptions; Vol. 3A, 2.5 and 4.1; Vol. 3C, chapter 31. */
static const struct attempt attempts[] = {
	TO_CR(0, CR0_CD, NO_EXCEPTION, .name = "CR0.CD"),
	TO_CR(0, CR0_NW, GENERAL_PROTECTION, .name = "CR0.NW without CD"),
	TO_CR(0, CR0_PE, GENERAL_PROTECTION, .name = "CR0.PG without PE in 64-bit mode"),
	TO_CR(0, CR0_PE, GENERAL_PROTECTION, .name = "CR0.PG without PE", .place = PAE),
	TO_CR(0, CR0_PG, GENERAL_PROTECTION, .name = "CR0.PG cleared in 64-bit mode"),
	TO_CR(0, CR0_PG, GENERAL_PROTECTION, .name = "CR0.PG set with EFER.LME and without CR4.PAE", .place = PROTECTED,
	      .efer = EFER_LME),
	TO_CR(0, 1UL << 32, GENERAL_PROTECTION, .name = "CR0 bit 32"),
	TO_CR(4, CR4_PSE, NO_EXCEPTION, .name = "CR4.PSE"),
	TO_CR(4, CR4_PAE, GENERAL_PROTECTION, .name = "CR4.PAE cleared in IA-32e mode"),
	TO_CR(4, CR4_PCIDE, GENERAL_PROTECTION, .name = "CR4.PCIDE that CPUID does not announce"),
	TO_CR(4, CR4_PCIDE, GENERAL_PROTECTION, .name = "CR4.PCIDE outside IA-32e mode", .place = PAE),
	TO_CR(4, CR4_VMXE, GENERAL_PROTECTION, .name = "CR4.VMXE"),
	TO_CR(4, CR4_SMXE, GENERAL_PROTECTION, .name = "CR4.SMXE"),
	TO_CR(4, 1UL << 15, GENERAL_PROTECTION, .name = "CR4 bit 15"),
	TO_CR(4, 1UL << 63, GENERAL_PROTECTION, .name = "CR4 bit 63"),
	TO_CR(8, 15, NO_EXCEPTION, .name = "CR8 15"),
	TO_CR(8, 16, GENERAL_PROTECTION, .name = "CR8 16"),
	TO_CR(8, 1UL << 63, GENERAL_PROTECTION, .name = "CR8 bit 63"),
	TO_MSR(MSR_EFER, EFER_SCE | EFER_NX, NO_EXCEPTION, .name = "EFER.SCE and NXE"),
	TO_MSR(MSR_EFER, EFER_LME, GENERAL_PROTECTION, .name = "EFER.LME cleared with paging"),
	TO_MSR(MSR_EFER, EFER_LME, GENERAL_PROTECTION, .name = "EFER.LME set with paging", .place = PAE),
	TO_MSR(MSR_EFER, EFER_LME, NO_EXCEPTION, .name = "EFER.LME without paging", .place = PROTECTED),
	TO_MSR(MSR_EFER, 1UL << 1, GENERAL_PROTECTION, .name = "EFER bit 1"),
	TO_MSR(MSR_EFER, 1UL << 9, GENERAL_PROTECTION, .name = "EFER bit 9"),
	TO_MSR(MSR_EFER, 1UL << 63, GENERAL_PROTECTION, .name = "EFER bit 63"),
	TO_MSR(MSR_FMASK, 1UL << 31, NO_EXCEPTION, .name = "IA32_FMASK bit 31"),
	TO_MSR(MSR_FMASK, 1UL << 32, GENERAL_PROTECTION, .name = "IA32_FMASK bit 32"),
	TO_MSR(MSR_TSC_AUX, 1UL << 31, NO_EXCEPTION, .name = "IA32_TSC_AUX bit 31"),
	TO_MSR(MSR_TSC_AUX, 1UL << 32, GENERAL_PROTECTION, .name = "IA32_TSC_AUX bit 32"),
	EXECUTES(MOV_FROM_DR7, NO_EXCEPTION, .name = "MOV from DR7"),
	EXECUTES(MOV_FROM_DR7, GENERAL_PROTECTION, .name = "MOV from DR7 at CPL 3", .place = USER),
	EXECUTES(MOV_TO_DR0, GENERAL_PROTECTION, .name = "MOV to DR0 at CPL 3", .place = USER),
	EXECUTES("\x0f\x33", GENERAL_PROTECTION, .name = "RDPMC"),
	EXECUTES("\x0f\x33", GENERAL_PROTECTION, .name = "RDPMC at CPL 3", .place = USER),
	EXECUTES("\xf3\x0f\xc7\x36", INVALID_OPCODE, .name = "VMXON"),
	EXECUTES("\x0f\x01\xc4", INVALID_OPCODE, .name = "VMXOFF"),
	EXECUTES("\x66\x0f\xc7\x36", INVALID_OPCODE, .name = "VMCLEAR"),
	EXECUTES("\x0f\xc7\x36", INVALID_OPCODE, .name = "VMPTRLD"),
	EXECUTES("\x0f\xc7\x3e", INVALID_OPCODE, .name = "VMPTRST"),
	EXECUTES("\x0f\x78\xc8", INVALID_OPCODE, .name = "VMREAD"),
	EXECUTES("\x0f\x79\xc8", INVALID_OPCODE, .name = "VMWRITE"),
	EXECUTES("\x0f\x01\xc2", INVALID_OPCODE, .name = "VMLAUNCH"),
	EXECUTES("\x0f\x01\xc3", INVALID_OPCODE, .name = "VMRESUME"),
	EXECUTES("\x66\x0f\x38\x80\x06", INVALID_OPCODE, .name = "INVEPT"),
	EXECUTES("\x66\x0f\x38\x81\x06", INVALID_OPCODE, .name = "INVVPID"),
};

static void enter_place(struct vcpu *vcpu, enum place place)
{
	struct kvm_sregs sregs;

	if (place == PAE)
		vcpu_enter_pae(vcpu);
	else if (place == PROTECTED)
		vcpu_enter_protected(vcpu);
	else
		vcpu_enter_long(vcpu);
	if (place == PAE || place == PROTECTED)
		vcpu_install_idt32(vcpu);
	else
		vcpu_install_idt64(vcpu);
	if (place != USER)
		return;
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs.dpl = sregs.ss.dpl = 3;
	sregs.cs.selector = SEL_USER_CODE64 | 3;
	sregs.ss.selector = SEL_USER_DATA | 3;
	vcpu_set_sregs(vcpu, &sregs);
	/* RSP0, for the handler. */
	vm_write64(vcpu->vm, GUEST_TSS + 4, GUEST_STACK);
}

static uint64_t operand(struct vcpu *vcpu, const struct attempt *attempt)
{
	struct kvm_sregs sregs;
	uint64_t value = 0;

	vcpu_get_sregs(vcpu, &sregs);
	if (attempt->source == MSR && !vcpu_get_msr(vcpu, attempt->msr, &value))
		die("MSR %#x", attempt->msr);
	if (attempt->source == CR0)
		value = sregs.cr0;
	if (attempt->source == CR4)
		value = sregs.cr4;
	if (attempt->source == CR8)
		value = sregs.cr8;
	return value ^ attempt->change;
}

/* Executes it, and ends with an OUT, also after an exception. Returns the vector, or NO_EXCEPTION. */
static int execute(struct vcpu *vcpu, const char *code, struct kvm_regs *regs)
{
	uint64_t *record = vm_at(vcpu->vm, GUEST_EXC_RECORD);
	size_t size = strlen(code);

	vm_load_bytes(vcpu->vm, GUEST_CODE, code, size);
	vm_load_bytes(vcpu->vm, GUEST_CODE + size, OUT_DONE, 2);
	record[EXC_RESUME / 8] = GUEST_CODE + size;
	regs->rip = GUEST_CODE;
	regs->rsp = GUEST_STACK - 64;
	/* IOPL 3 */
	regs->rflags = RFLAGS_FIXED | 0x3000;
	regs->rsi = GUEST_FREE;
	vcpu_set_regs(vcpu, regs);
	if (vcpu_run(vcpu) != KVM_EXIT_IO || vcpu->run->io.port != PORT_DONE)
		return 1000 + vcpu->run->exit_reason;
	vcpu_complete_io(vcpu);
	vcpu_get_regs(vcpu, regs);
	return record[EXC_COUNT / 8] ? (int)record[EXC_VECTOR / 8] : NO_EXCEPTION;
}

TEST_F(state, instructions_raise_the_exceptions_of_the_sdm)
{
	if (!device_is_vregcache())
		SKIP(return, "%s may offer VMX and a PMU", device_path());
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const struct attempt *attempt = &attempts[i];
		struct kvm_regs regs = { .rcx = attempt->msr };
		struct kvm_sregs before, after;

		if (attempt->msr == MSR_TSC_AUX && !vcpu_has_rdtscp(&self->vcpu))
			continue;
		/* An exit after MOV to CR8 must not be due to its decrease. */
		self->vcpu.run->cr8 = 0;
		enter_place(&self->vcpu, attempt->place);
		vcpu_get_sregs(&self->vcpu, &before);
		before.cr8 = 0;
		before.efer |= attempt->efer;
		vcpu_set_sregs(&self->vcpu, &before);
		regs.rax = operand(&self->vcpu, attempt);
		regs.rdx = regs.rax >> 32;
		EXPECT_EQ(attempt->vector, execute(&self->vcpu, attempt->code, &regs))
			TH_LOG("%s", attempt->name);
		vcpu_get_sregs(&self->vcpu, &after);
		/* A faulting instruction changes nothing. */
		if (attempt->vector != NO_EXCEPTION && attempt->place != USER) {
			EXPECT_EQ(before.cr0, after.cr0);
			EXPECT_EQ(before.cr4, after.cr4);
			EXPECT_EQ(before.efer, after.efer);
		}
	}
}

/* The result of an unknown hypercall in KVM is -KVM_ENOSYS. */
TEST_F(state, vmcall_returns_kvm_enosys)
{
	struct kvm_regs regs = { .rax = 0x1234 };

	enter_place(&self->vcpu, LONG);
	EXPECT_EQ(NO_EXCEPTION, execute(&self->vcpu, "\x0f\x01\xc1", &regs));
	EXPECT_EQ(-(uint64_t)ENOSYS_OF_KVM, regs.rax);
}

/* ---- values that are invalid only in combination ---- */

GUEST_ASM(halt, 64, "hlt\n");

TEST_F(state, rip_may_be_set_before_its_mode)
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

TEST_F(state, run_checks_efer_of_set_msrs)
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
TEST_F(state, sregs_may_be_set_before_memory)
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
TEST_F(state, later_entries_never_fail)
{
	struct sigaction action = { .sa_handler = on_alarm };
	unsigned int entered = 0, refused = 0;

	if (!device_is_vregcache())
		SKIP(return, "%s does not promise this", device_path());
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
	test_module_close();
	TH_LOG("%u states entered, %u refused", entered, refused);
	EXPECT_GT(entered, ROUNDS / 4U);
	EXPECT_GT(refused, 0U);
}

TEST_HARNESS_MAIN
