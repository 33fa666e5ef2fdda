// SPDX-License-Identifier: GPL-2.0
/*
 * Thousands of interrupts and NMIs against a running guest, one after the other: whenever one hits guest mode, every
 * register is the same in the cache and in the VMCS, and the guest never notices.
 */
#define _GNU_SOURCE
#include "lib/harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/cpus.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/rounds.h"
#include "lib/test_module.h"
#include "lib/vm.h"
#include "vregcache_test/vregcache_test.h"

/* How many of each kind. */
#define COUNT_VARIABLE	"VRC_INTERRUPTIONS"
#define COUNT		rounds(5000)
/* The harness ends a test that takes longer; a run takes some 30 seconds. */
#define TIMEOUT		240

#define REGISTERS	64

/*
 * All registers but RAX and RSP always hold a value of their own, and so does RFLAGS while it is not compared: CF, PF,
 * AF, ZF, SF, DF, IF and OF. Userspace gets RAX, with the number of the register that changed, at PORT_FAIL.
 */
#define PATTERN(number)	(0x0101010101010101 * (number) ^ 0x8877665544332211)
#define FLAGS		(RFLAGS_FIXED | 0xed5)
#define CHECK(name, number)					\
	"	movabs $" GUEST_STRING(PATTERN(number)) ", %rax\n"	\
	"	cmp %rax, %" name "\n"				\
	"	mov $" #number ", %eax\n"			\
	"	jne 9f\n"
GUEST_ASM(watchful, 64,
	"1:	push $" GUEST_STRING(FLAGS) "\n"
	"	popfq\n"
	"	mov $50, %eax\n"
	/* LEA and MOV do not change the flags, and JRCXZ does not read them. */
	"2:	lea -1(%rax), %eax\n"
	"	xchg %rax, %rcx\n"
	"	jrcxz 3f\n"
	"	xchg %rax, %rcx\n"
	"	jmp 2b\n"
	"3:	xchg %rax, %rcx\n"
	"	pushfq\n"
	"	pop %rax\n"
	"	cmp $" GUEST_STRING(FLAGS) ", %rax\n"
	"	mov $16, %eax\n"
	"	jne 9f\n"
	CHECK("rcx", 1) CHECK("rdx", 2) CHECK("rbx", 3) CHECK("rbp", 5) CHECK("rsi", 6) CHECK("rdi", 7)
	CHECK("r8", 8) CHECK("r9", 9) CHECK("r10", 10) CHECK("r11", 11) CHECK("r12", 12) CHECK("r13", 13)
	CHECK("r14", 14) CHECK("r15", 15)
	"	cmp $" GUEST_STRING(GUEST_STACK) ", %rsp\n"
	"	mov $4, %eax\n"
	"	jne 9f\n"
	"	incq " GUEST_STRING(GUEST_DATA) "\n"
	"	jmp 1b\n"
	"9:	out %eax, $" GUEST_STRING(PORT_FAIL) "\n"
	"	hlt\n");
/* RCX is exchanged with RAX for some instructions, so another value may be observed. */
#define GPR_MASK	(0xffff & ~(1 << 0 | 1 << 1 | 1 << 4))

static unsigned int count(void)
{
	const char *text = getenv(COUNT_VARIABLE);

	return text ? strtoul(text, NULL, 0) : COUNT;
}

FIXTURE(interruptions) {
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	int stop; /* the vCPU's thread is to end */
	int ended; /* and has ended, with this exit or -errno */
	struct vrc_test_interruptions request;
	int device;
};

static void on_kick(int signal)
{
	(void)signal;
}

static void *run_guest(void *argument)
{
	struct _test_data_interruptions *self = argument;
	int cpu = 0;

	if (pin_to_cpu(cpu))
		die("CPU %d", cpu);
	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		int exit = vcpu_run(&self->vcpu);

		if (exit != KVM_EXIT_INTR) {
			self->ended = exit;
			break;
		}
	}
	return NULL;
}

FIXTURE_SETUP(interruptions)
{
	struct sigaction action = { .sa_handler = on_kick };
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = FLAGS,
		.rcx = PATTERN(1), .rdx = PATTERN(2), .rbx = PATTERN(3), .rbp = PATTERN(5), .rsi = PATTERN(6),
		.rdi = PATTERN(7), .r8 = PATTERN(8), .r9 = PATTERN(9), .r10 = PATTERN(10), .r11 = PATTERN(11),
		.r12 = PATTERN(12), .r13 = PATTERN(13), .r14 = PATTERN(14), .r15 = PATTERN(15),
	};
	const char *reason = test_module_load();

	if (reason)
		SKIP(return, "%s", reason);
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, watchful);
	vcpu_set_regs(&self->vcpu, &regs);
	sigaction(SIGUSR1, &action, NULL);

	self->stop = 0;
	self->ended = KVM_EXIT_INTR;
	self->request = (struct vrc_test_interruptions) {
		.vcpu = self->vcpu.fd,
		.count = count(),
		.distance_us = 100,
		.gpr_mask = GPR_MASK,
		.rip_begin = GUEST_CODE,
		.rip_end = GUEST_CODE + (guest_watchful_end - guest_watchful),
	};
	for (unsigned int i = 0; i < 16; i++)
		self->request.gpr[i] = PATTERN((uint64_t)i);
}

FIXTURE_TEARDOWN(interruptions)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	test_module_close();
}

/* Sends interrupts from this CPU to CPU 0, where the guest runs. */
static long interrupt_guest(struct _test_data_interruptions *self, int nmi, int from)
{
	long error;

	self->request.nmi = nmi;
	/* With two CPUs, those from the other one are the important ones. */
	if (!from && another_cpu(0) >= 0 && self->request.count > COUNT / 10)
		self->request.count = COUNT / 10;
	if (pthread_create(&self->thread, NULL, run_guest, self))
		die("thread");
	if (pin_to_cpu(from))
		die("CPU %d", from);
	/* The guest runs once it has completed a round. */
	while (!*(volatile uint64_t *)vm_at(&self->vm, GUEST_DATA) && self->ended == KVM_EXIT_INTR)
		usleep(1000);
	error = test_interrupt_guest(&self->request);
	__atomic_store_n(&self->stop, 1, __ATOMIC_RELEASE);
	self->vcpu.run->immediate_exit = 1;
	pthread_kill(self->thread, SIGUSR1);
	pthread_join(self->thread, NULL);
	return error;
}

/* Checks for each kind, from any CPU. */
static void check_interruptions(struct __test_metadata *_metadata, struct _test_data_interruptions *self, int nmi, int from)
{
	const struct vrc_test_interruptions *request = &self->request;
	long error = interrupt_guest(self, nmi, from);
	uint32_t failed_at = 0;

	if (self->ended == KVM_EXIT_IO)
		memcpy(&failed_at, vcpu_io_data(&self->vcpu), sizeof(failed_at));
	TH_LOG("%u of %u in guest mode, %llu registers compared, %llu rounds of the guest, %u asides", request->in_guest,
	       request->handled, (unsigned long long)request->registers,
	       (unsigned long long)vm_read64(&self->vm, GUEST_DATA), request->asides);
	ASSERT_EQ(0, error);
	ASSERT_EQ(KVM_EXIT_INTR, self->ended)
		TH_LOG("the guest stopped, for register %u", failed_at);
	EXPECT_EQ(request->count, request->handled);
	EXPECT_LE(request->count / 3, request->in_guest);
	EXPECT_EQ(0, request->elsewhere);
	EXPECT_EQ((uint64_t)REGISTERS * request->in_guest, request->registers);
	EXPECT_EQ(0, request->differences)
		TH_LOG("register %u is %#llx in the cache, %#llx in the VMCS", request->first,
		       (unsigned long long)request->in_memory, (unsigned long long)request->in_vmcs);
	EXPECT_EQ(0, request->wrong_rips);
	EXPECT_EQ(0, request->wrong_gprs);
	EXPECT_EQ(0, request->false_asides);
	/* Three in every 64. */
	if (!nmi) {
		EXPECT_LE(request->in_guest / 64 * 2, request->asides);
	}
}

TEST_F_TIMEOUT(interruptions, interrupt_from_its_own_cpu_reads_every_register, TIMEOUT)
{
	check_interruptions(_metadata, self, 0, 0);
}

TEST_F_TIMEOUT(interruptions, nmi_from_its_own_cpu_reads_every_register, TIMEOUT)
{
	check_interruptions(_metadata, self, 1, 0);
}

TEST_F_TIMEOUT(interruptions, interrupt_from_another_cpu_reads_every_register, TIMEOUT)
{
	int other = another_cpu(0);

	if (other < 0)
		SKIP(return, "the machine has one CPU");
	check_interruptions(_metadata, self, 0, other);
}

TEST_F_TIMEOUT(interruptions, nmi_from_another_cpu_reads_every_register, TIMEOUT)
{
	int other = another_cpu(0);

	if (other < 0)
		SKIP(return, "the machine has one CPU");
	check_interruptions(_metadata, self, 1, other);
}

TEST_HARNESS_MAIN
