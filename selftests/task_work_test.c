// SPDX-License-Identifier: GPL-2.0
/*
 * Work that the kernel defers until a task returns to userspace is done while a
 * guest runs without an exit to userspace: timers and limits of CPU time. The
 * guest delays no other task either: a grace period of RCU is as short beside
 * it as beside a process.
 */
#include "lib/harness.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/vm.h"

/* The timeout if nothing else ends the guest. */
#define GIVE_UP_SECONDS	30
#define GRACE_PERIODS	50

FIXTURE(task_work) {
	struct vm vm;
	struct vcpu vcpu;
};

/* IF is set because not every machine interrupts a guest with IF clear. */
GUEST_ASM(spin, 64,
	"	sti\n"
	"1:	jmp 1b\n");

static volatile sig_atomic_t came;
static struct kvm_run *run_to_stop;

/* Of two signals the first counts: the second is the timeout. */
static void on_signal(int signal)
{
	if (!came)
		came = signal;
	if (run_to_stop)
		run_to_stop->immediate_exit = 1;
}

FIXTURE_SETUP(task_work)
{
	static const int signals[] = { SIGALRM, SIGPROF, SIGVTALRM, SIGXCPU, SIGUSR1 };
	struct sigaction action = { .sa_handler = on_signal };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, spin);
	run_to_stop = self->vcpu.run;
}

FIXTURE_TEARDOWN(task_work)
{
	run_to_stop = NULL;
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Returns the signal that ended the guest. */
static int run_until_signal(struct vcpu *vcpu)
{
	came = 0;
	vcpu->run->immediate_exit = 0;
	alarm(GIVE_UP_SECONDS);
	if (vcpu_run(vcpu) != KVM_EXIT_INTR)
		die("exit reason %u", vcpu->run->exit_reason);
	alarm(0);
	return came;
}

TEST_F(task_work, itimer_of_all_cpu_time)
{
	struct itimerval times = { .it_value.tv_usec = 300000 };

	ASSERT_EQ(0, setitimer(ITIMER_PROF, &times, NULL));
	EXPECT_EQ(SIGPROF, run_until_signal(&self->vcpu));
	EXPECT_EQ((unsigned int)KVM_EXIT_INTR, self->vcpu.run->exit_reason);
}

/* The guest's time counts as the process's, not the kernel's. */
TEST_F(task_work, itimer_of_user_time)
{
	struct itimerval times = { .it_value.tv_usec = 300000 };

	ASSERT_EQ(0, setitimer(ITIMER_VIRTUAL, &times, NULL));
	EXPECT_EQ(SIGVTALRM, run_until_signal(&self->vcpu));
}

static void expect_timer(struct __test_metadata *_metadata, struct vcpu *vcpu, clockid_t clock)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec times = { .it_value.tv_nsec = 300000000 };
	struct timespec now;
	timer_t timer;

	ASSERT_EQ(0, timer_create(clock, &event, &timer));
	ASSERT_EQ(0, timer_settime(timer, 0, &times, NULL));
	EXPECT_EQ(SIGUSR1, run_until_signal(vcpu));
	clock_gettime(clock, &now);
	EXPECT_GE(now.tv_sec * 1000000000L + now.tv_nsec, times.it_value.tv_nsec);
	timer_delete(timer);
}

TEST_F(task_work, timer_of_the_process)
{
	expect_timer(_metadata, &self->vcpu, CLOCK_PROCESS_CPUTIME_ID);
}

TEST_F(task_work, timer_of_the_thread)
{
	expect_timer(_metadata, &self->vcpu, CLOCK_THREAD_CPUTIME_ID);
}

TEST_F(task_work, limit_of_cpu_time)
{
	struct rlimit limit = { .rlim_cur = 1, .rlim_max = 60 };
	struct rusage usage;

	ASSERT_EQ(0, setrlimit(RLIMIT_CPU, &limit));
	EXPECT_EQ(SIGXCPU, run_until_signal(&self->vcpu));
	getrusage(RUSAGE_SELF, &usage);
	/* The guest's time counts as user time. */
	EXPECT_GT(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec,
		  usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec);
}

/* ---- grace periods ---- */

struct spinner {
	struct vcpu *vcpu;
	int cpu;
	volatile int stop;
	volatile int started;
	unsigned int runs;	/* of the guest */
};

static void *spin_in_userspace(void *argument)
{
	struct spinner *spinner = argument;

	pin_to_cpu(spinner->cpu);
	spinner->started = 1;
	while (!spinner->stop)
		;
	return NULL;
}

static void *spin_in_guest(void *argument)
{
	struct spinner *spinner = argument;

	pin_to_cpu(spinner->cpu);
	spinner->started = 1;
	while (!spinner->stop) {
		vcpu_run(spinner->vcpu);
		spinner->runs++;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return *one < *other ? -1 : *one > *other;
}

/* The median duration of a grace period, in microseconds, while the function runs on another CPU. */
static uint64_t grace_period_beside(void *(*function)(void *), struct spinner *spinner)
{
	uint64_t times[GRACE_PERIODS];
	struct timespec begin, end;
	pthread_t thread;

	spinner->stop = spinner->started = 0;
	spinner->vcpu->run->immediate_exit = 0;
	if (pthread_create(&thread, NULL, function, spinner))
		die("pthread_create");
	while (!spinner->started)
		usleep(1000);
	for (int i = 0; i < GRACE_PERIODS; i++) {
		clock_gettime(CLOCK_MONOTONIC, &begin);
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
			die("membarrier");
		clock_gettime(CLOCK_MONOTONIC, &end);
		times[i] = (end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000;
	}
	spinner->stop = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	qsort(times, GRACE_PERIODS, sizeof(times[0]), compare);
	return times[GRACE_PERIODS / 2];
}

TEST_F(task_work, guest_does_not_delay_grace_periods)
{
	struct spinner spinner = { .vcpu = &self->vcpu };
	uint64_t user, guest;

	spinner.cpu = another_cpu(0);
	pin_to_cpu(0);
	/* With one CPU, the system call that waits for a grace period knows that none is needed. */
	if (spinner.cpu < 0)
		SKIP(return, "the machine has one CPU");
	user = grace_period_beside(spin_in_userspace, &spinner);
	guest = grace_period_beside(spin_in_guest, &spinner);
	TH_LOG("%lu us with a process, %lu us with a guest", user, guest);
	EXPECT_LE(guest, user + user / 2);
	/* The guest ran all the time, up to the signal. */
	EXPECT_EQ(1U, spinner.runs);
}

TEST_HARNESS_MAIN
