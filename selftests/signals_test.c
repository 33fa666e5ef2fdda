// SPDX-License-Identifier: GPL-2.0
/* Signals and immediate_exit return a vCPU to userspace, and it continues where it was. */
#include "lib/harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "lib/modes.h"
#include "lib/vm.h"

#define STOP_FLAG	(GUEST_DATA + 0x00)
#define KICK_SIGNAL	SIGUSR1

FIXTURE(signals) {
	struct vm vm;
	struct vcpu vcpu;
};

/*
 * Counts in RAX and, one instruction later, in RBX, until userspace sets the
 * flag. IF is set because not all machines interrupt a guest with IF clear.
 */
GUEST_ASM(spin, 64,
	"	sti\n"
	"1:	inc %rax\n"
	"	inc %rbx\n"
	"	cmpb $0, 0x20000\n"
	"	je 1b\n"
	"	hlt\n");
/* Addresses in the loop, for RIP: STI, then two INCs of three bytes each. */
#define SPIN_INC_RAX	(GUEST_CODE + 1)
#define SPIN_INC_RBX	(GUEST_CODE + 4)

static struct kvm_run *kicked_run;
static volatile sig_atomic_t kicks;

static void on_kick(int signal)
{
	(void)signal;
	kicks++;
	/* The ioctl would otherwise miss a signal that comes just before it. */
	if (kicked_run)
		kicked_run->immediate_exit = 1;
}

FIXTURE_SETUP(signals)
{
	struct sigaction action = { .sa_handler = on_kick };

	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, spin);
	sigaction(KICK_SIGNAL, &action, NULL);
	kicked_run = self->vcpu.run;
}

FIXTURE_TEARDOWN(signals)
{
	kicked_run = NULL;
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static timer_t start_timer(long first_us, long period_us)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = KICK_SIGNAL };
	struct itimerspec times = {
		.it_value = { .tv_nsec = first_us * 1000 },
		.it_interval = { .tv_nsec = period_us * 1000 },
	};
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &times, NULL))
		die("timer");
	return timer;
}

/* 1 if both counters are right for this RIP. */
static int loop_is_consistent(const struct kvm_regs *regs)
{
	if (regs->rip == SPIN_INC_RBX)
		return regs->rax == regs->rbx + 1;
	return regs->rax == regs->rbx;
}

TEST_F(signals, immediate_exit_does_not_run_the_guest)
{
	struct kvm_regs before, after;

	vcpu_get_regs(&self->vcpu, &before);
	self->vcpu.run->immediate_exit = 1;
	for (int i = 0; i < 10; i++) {
		self->vcpu.run->exit_reason = ~0U;
		EXPECT_EQ(-EINTR, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
		/* There was no exit. */
		EXPECT_EQ(~0U, self->vcpu.run->exit_reason);
	}
	EXPECT_EQ(1, self->vcpu.run->immediate_exit);
	vcpu_get_regs(&self->vcpu, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));

	/* Without it the guest runs. */
	self->vcpu.run->immediate_exit = 0;
	vm_write64(&self->vm, STOP_FLAG, 1);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

TEST_F(signals, timer_ends_a_spinning_guest)
{
	struct kvm_regs regs;
	timer_t timer;

	kicked_run = NULL;
	/* Periodic: the first may come before the ioctl. */
	timer = start_timer(20000, 100000);
	EXPECT_EQ(-EINTR, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
	timer_delete(timer);
	EXPECT_EQ((unsigned int)KVM_EXIT_INTR, self->vcpu.run->exit_reason);
	EXPECT_GE(kicks, 1);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_GT(regs.rax, 0ULL);
	EXPECT_TRUE(loop_is_consistent(&regs));
	EXPECT_EQ(RFLAGS_IF, regs.rflags & RFLAGS_IF);
}

TEST_F(signals, guest_continues_where_a_signal_stopped_it)
{
	struct kvm_regs regs, last = { .rax = 0 };
	timer_t timer = start_timer(5000, 7000);

	for (int i = 0; i < 40; i++) {
		ASSERT_EQ(KVM_EXIT_INTR, vcpu_run(&self->vcpu));
		self->vcpu.run->immediate_exit = 0;
		vcpu_get_regs(&self->vcpu, &regs);
		ASSERT_TRUE(loop_is_consistent(&regs) || regs.rip == GUEST_CODE)
			TH_LOG("RIP %#llx, RAX %llu, RBX %llu", regs.rip, regs.rax, regs.rbx);
		ASSERT_GE(regs.rax, last.rax);
		last = regs;
	}
	timer_delete(timer);
	EXPECT_GT(last.rax, 0ULL);

	vm_write64(&self->vm, STOP_FLAG, 1);
	self->vcpu.run->immediate_exit = 0;
	while (vcpu_run(&self->vcpu) == KVM_EXIT_INTR)
		self->vcpu.run->immediate_exit = 0;
	ASSERT_EQ((unsigned int)KVM_EXIT_HLT, self->vcpu.run->exit_reason);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(regs.rax, regs.rbx);
}

struct kicker {
	pthread_t target;
	volatile int stop;
};

static void *kick_from_another_thread(void *argument)
{
	struct kicker *kicker = argument;

	while (!kicker->stop) {
		usleep(5000);
		pthread_kill(kicker->target, KICK_SIGNAL);
	}
	return NULL;
}

TEST_F(signals, another_thread_ends_a_spinning_guest)
{
	struct kicker kicker = { .target = pthread_self() };
	struct kvm_regs regs;
	pthread_t thread;
	uint64_t last = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, kick_from_another_thread, &kicker));
	for (int i = 0; i < 30; i++) {
		EXPECT_EQ(KVM_EXIT_INTR, vcpu_run(&self->vcpu));
		self->vcpu.run->immediate_exit = 0;
		vcpu_get_regs(&self->vcpu, &regs);
		EXPECT_GE(regs.rax, last);
		last = regs.rax;
	}
	kicker.stop = 1;
	pthread_join(thread, NULL);
	EXPECT_GT(last, 0U);
	EXPECT_TRUE(loop_is_consistent(&regs));
}

TEST_F(signals, blocked_signal_does_not_end_the_guest)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(KICK_SIGNAL);
	vm_write64(&self->vm, STOP_FLAG, 1);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0, kicks);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	EXPECT_EQ(1, kicks);
}

GUEST_ASM(ins, 64,
	"1:	inl $" GUEST_STRING(PORT_TEST) ", %eax\n"
	"	add %rax, %rbx\n"
	"	outl %eax, $" GUEST_STRING(PORT_TEST) "\n"
	"	jmp 1b\n");

TEST_F(signals, signal_neither_loses_nor_repeats_io)
{
	struct kvm_run *run = self->vcpu.run;
	uint32_t given = 0, value;
	uint64_t sum = 0;
	struct kvm_regs regs;
	timer_t timer;
	int reason;

	vm_load(&self->vm, GUEST_CODE, ins);
	timer = start_timer(1000, 1700);
	while (given < 500) {
		reason = vcpu_run(&self->vcpu);
		run->immediate_exit = 0;
		if (reason == KVM_EXIT_INTR)
			continue;
		ASSERT_EQ(KVM_EXIT_IO, reason);
		if (run->io.direction == KVM_EXIT_IO_IN) {
			sum += ++given;
			memcpy(vcpu_io_data(&self->vcpu), &given, sizeof(given));
		} else {
			memcpy(&value, vcpu_io_data(&self->vcpu), sizeof(value));
			ASSERT_EQ(given, value);
		}
	}
	timer_delete(timer);
	/* Runs on to the OUT after the last IN. */
	do {
		reason = vcpu_run(&self->vcpu);
		run->immediate_exit = 0;
	} while (reason == KVM_EXIT_INTR);
	ASSERT_EQ(KVM_EXIT_IO_OUT, run->io.direction);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(sum, regs.rbx);
}

TEST_HARNESS_MAIN
