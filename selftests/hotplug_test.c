// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs go offline and come back, and the machine is suspended and resumed,
 * while guests run on it: each CPU is in VMX operation exactly while it is up,
 * and no guest loses a register.
 */
#include "lib/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/rounds.h"
#include "lib/test_module.h"
#include "lib/vm.h"
#include "vregcache_test/vregcache_test.h"

#define ROUNDS		rounds(8)
#define THREADS		3

/*
 * Counts in RBX, keeps a function of the count in each other register, and outputs RBX after an exit that the module
 * handles. R15 is never 0 unless a register was lost.
 */
GUEST_ASM(counter, 64,
	"1:	inc %rbx\n"
	"	lea 1(%rbx), %rsi\n"
	"	lea 2(%rbx), %rdi\n"
	"	lea 3(%rbx), %rbp\n"
	"	lea 4(%rbx), %r8\n"
	"	lea 5(%rbx), %r9\n"
	"	lea 6(%rbx), %r10\n"
	"	lea 7(%rbx), %r11\n"
	"	lea 8(%rbx), %r12\n"
	"	mov %rbx, %r13\n"
	"	mov %rbx, %cr2\n"
	"	movq %rbx, %xmm7\n"
	"	xor %eax, %eax\n"
	"	cpuid\n"
	"	mov %r13, %rbx\n"
	"	mov %cr2, %rax\n"
	"	movq %xmm7, %rdx\n"
	"	cmp %rbx, %rax\n"
	"	jne 2f\n"
	"	cmp %rbx, %rdx\n"
	"	jne 2f\n"
	"	lea 8(%rbx), %rax\n"
	"	cmp %rax, %r12\n"
	"	jne 2f\n"
	"	mov %ebx, %eax\n"
	"	outl %eax, $" GUEST_STRING(PORT_TEST) "\n"
	"	jmp 1b\n"
	"2:	outb %al, $" GUEST_STRING(PORT_FAIL) "\n");

struct runner {
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	/* The guest's last output, and the error. */
	volatile uint32_t shown;
	const char *volatile fault;
};

static volatile int stop;

static void runner_prepare(struct runner *runner)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED };

	vm_create(&runner->vm, GUEST_MEM_SIZE);
	vcpu_create(&runner->vcpu, &runner->vm, 0);
	vcpu_enter_long(&runner->vcpu);
	{
		struct kvm_sregs sregs;

		vcpu_get_sregs(&runner->vcpu, &sregs);
		sregs.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
		vcpu_set_sregs(&runner->vcpu, &sregs);
	}
	vm_load(&runner->vm, GUEST_CODE, counter);
	vcpu_set_regs(&runner->vcpu, &regs);
	runner->shown = 0;
	runner->fault = NULL;
}

static void runner_end(struct runner *runner)
{
	vcpu_destroy(&runner->vcpu);
	vm_destroy(&runner->vm);
}

/* Runs one round of the guest. Returns the error, or NULL. */
static const char *step(struct runner *runner)
{
	struct kvm_regs regs;
	int reason = vcpu_run(&runner->vcpu);

	if (reason == KVM_EXIT_INTR)
		return NULL;
	if (reason != KVM_EXIT_IO)
		return "KVM_RUN did not end with OUT";
	if (!vcpu_is_io(&runner->vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 4))
		return "the guest lost a register over an exit";
	if (*(uint32_t *)vcpu_io_data(&runner->vcpu) != runner->shown + 1)
		return "the guest's count is not one more than before";
	runner->shown++;
	vcpu_get_regs(&runner->vcpu, &regs);
	if (regs.rbx != runner->shown || regs.rsi != regs.rbx + 1 || regs.rdi != regs.rbx + 2 ||
	    regs.rbp != regs.rbx + 3 || regs.r8 != regs.rbx + 4 || regs.r9 != regs.rbx + 5 ||
	    regs.r10 != regs.rbx + 6 || regs.r11 != regs.rbx + 7 || regs.r12 != regs.rbx + 8)
		return "a general-purpose register does not match the count";
	return NULL;
}

static void *run_until_stopped(void *argument)
{
	struct runner *runner = argument;

	while (!stop && !runner->fault)
		runner->fault = step(runner);
	return NULL;
}

static void write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		die("%s: cannot write %s", path, text);
	close(file);
}

static int can_write(const char *path)
{
	return access(path, W_OK) == 0;
}

#define CPU1_ONLINE	"/sys/devices/system/cpu/cpu1/online"
#define PM_TEST		"/sys/power/pm_test"
#define PM_DELAY	"/sys/module/suspend/parameters/pm_test_delay"
#define WAKE_ALARM	"/sys/class/rtc/rtc0/wakealarm"
#define CPU_TABLE	"/sys/kernel/debug/vregcache/cpus"

struct cpu_row {
	char state[8];
	int vmxe;
	unsigned long vmxons;
	unsigned int vmcss;
};

/* 1 if the CPU is in the table. */
static int read_cpu(int cpu, struct cpu_row *row)
{
	FILE *file = fopen(CPU_TABLE, "r");
	char line[80];
	int number, found = 0;

	if (!file) {
		mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
		file = fopen(CPU_TABLE, "r");
	}
	if (!file)
		die("%s", CPU_TABLE);
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%d %7s %d %lu %u", &number, row->state, &row->vmxe, &row->vmxons, &row->vmcss) == 5 &&
			number == cpu;
	fclose(file);
	errno = 0;
	return found;
}

FIXTURE(cpus) {
	struct runner runner[THREADS];
	struct cpu_row before[2];
};

FIXTURE_SETUP(cpus)
{
	if (!device_is_vregcache())
		SKIP(return, "%s has no table of CPUs", device_path());
	stop = 0;
	for (int i = 0; i < THREADS; i++)
		runner_prepare(&self->runner[i]);
	ASSERT_TRUE(read_cpu(0, &self->before[0]));
	EXPECT_STREQ("on", self->before[0].state);
	EXPECT_EQ(1, self->before[0].vmxe);
}

FIXTURE_TEARDOWN(cpus)
{
	for (int i = 0; i < THREADS; i++)
		runner_end(&self->runner[i]);
}

static void start_runners(struct runner *runner)
{
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&runner[i].thread, NULL, run_until_stopped, &runner[i]))
			die("pthread_create");
	}
}

static void stop_runners(struct runner *runner)
{
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(runner[i].thread, NULL);
}

/* Returns 1 once each guest has run a few more rounds. */
static int all_go_on(struct runner *runner)
{
	for (int i = 0; i < THREADS; i++) {
		uint32_t start = runner[i].shown;

		for (int wait = 0; !runner[i].fault && runner[i].shown - start < 3; wait++) {
			if (wait == 20000)
				return 0;
			usleep(1000);
		}
	}
	return 1;
}

#define EXPECT_NO_FAULT() do {							\
	for (int i = 0; i < THREADS; i++) {					\
		EXPECT_EQ(NULL, self->runner[i].fault)				\
			TH_LOG("guest %d at %u: %s", i, self->runner[i].shown,	\
			       self->runner[i].fault);				\
	}									\
} while (0)

TEST_F_TIMEOUT(cpus, go_offline_and_online_while_guests_run, 120)
{
	struct cpu_row row;

	if (!can_write(CPU1_ONLINE))
		SKIP(return, "no second CPU can go offline");
	ASSERT_TRUE(read_cpu(1, &self->before[1]));
	start_runners(self->runner);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		/* Guests run on both CPUs before CPU 1 goes offline. */
		EXPECT_TRUE(all_go_on(self->runner));
		write_file(CPU1_ONLINE, "0");
		EXPECT_FALSE(read_cpu(1, &row));
		EXPECT_TRUE(all_go_on(self->runner));
		write_file(CPU1_ONLINE, "1");
		ASSERT_TRUE(read_cpu(1, &row));
		EXPECT_STREQ("on", row.state);
		EXPECT_EQ(1, row.vmxe);
		EXPECT_EQ(self->before[1].vmxons + round + 1, row.vmxons);
	}
	EXPECT_TRUE(all_go_on(self->runner));
	stop_runners(self->runner);
	EXPECT_NO_FAULT();
}

/* The task cannot stay on its CPU: the kernel breaks its affinity. */
TEST_F_TIMEOUT(cpus, go_offline_under_a_bound_guest, 60)
{
	cpu_set_t only;

	if (!can_write(CPU1_ONLINE))
		SKIP(return, "no second CPU can go offline");
	CPU_ZERO(&only);
	CPU_SET(1, &only);
	start_runners(self->runner);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < THREADS; i++)
			ASSERT_EQ(0, pthread_setaffinity_np(self->runner[i].thread, sizeof(only), &only));
		EXPECT_TRUE(all_go_on(self->runner));
		write_file(CPU1_ONLINE, "0");
		EXPECT_TRUE(all_go_on(self->runner));
		write_file(CPU1_ONLINE, "1");
	}
	stop_runners(self->runner);
	EXPECT_NO_FAULT();
}

/* The CPU that goes offline clears the VMCS of an idle vCPU, so it is complete in memory. */
TEST_F(cpus, go_offline_with_the_vmcs_of_an_idle_guest)
{
	struct cpu_row row;

	if (!can_write(CPU1_ONLINE))
		SKIP(return, "no second CPU can go offline");
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, pin_to_cpu(1));
		for (int i = 0; i < THREADS; i++)
			self->runner[i].fault = step(&self->runner[i]);
		EXPECT_NO_FAULT();
		ASSERT_TRUE(read_cpu(1, &row));
		EXPECT_EQ((unsigned int)THREADS, row.vmcss);
		ASSERT_EQ(0, pin_to_cpu(0));
		write_file(CPU1_ONLINE, "0");
		/* One guest runs while the CPU is offline, the others when it is back. */
		self->runner[0].fault = step(&self->runner[0]);
		write_file(CPU1_ONLINE, "1");
		ASSERT_TRUE(read_cpu(1, &row));
		EXPECT_EQ(0U, row.vmcss);
		for (int i = 0; i < THREADS; i++)
			self->runner[i].fault = step(&self->runner[i]);
		EXPECT_NO_FAULT();
	}
}

struct stayer {
	struct vrc_test_stay request;
	volatile int begun;
	long error;
};

static void *stay_there(void *argument)
{
	struct stayer *stayer = argument;

	pin_to_cpu(1);
	stayer->begun = 1;
	stayer->error = test_module_ioctl(VRC_TEST_STAY, &stayer->request);
	return NULL;
}

/* Takes CPU 1 offline under a task that stays there as long as it can, and then uses the vCPU. */
static void take_cpu_away(struct runner *runner, struct stayer *stayer)
{
	pthread_t thread;

	*stayer = (struct stayer) {
		.request = { .vcpu = runner->vcpu.fd, .cpu = 1, .reg = CACHE_IDTR_BASE },
	};
	if (pthread_create(&thread, NULL, stay_there, stayer))
		die("pthread_create");
	while (!stayer->begun)
		usleep(1000);
	/* The task is in the kernel by then. */
	usleep(50000);
	write_file(CPU1_ONLINE, "0");
	pthread_join(thread, NULL);
	write_file(CPU1_ONLINE, "1");
}

TEST_F_TIMEOUT(cpus, users_of_a_vcpu_leave_a_cpu_that_goes_offline, 60)
{
	unsigned int stayed = 0;
	struct stayer stayer;
	const char *reason;
	uint64_t base;

	if (!can_write(CPU1_ONLINE))
		SKIP(return, "no second CPU can go offline");
	reason = test_module_load();
	if (reason)
		SKIP(return, "%s", reason);
	/*
	 * Before it begins to stay, and between its wait and its use, the task may be preempted and moved away, but
	 * hardly every time.
	 */
	for (int round = 0; round < 20 && stayed < 3; round++) {
		pin_to_cpu(1);
		self->runner[0].fault = step(&self->runner[0]);
		EXPECT_NO_FAULT();
		base = vmcs_read(&self->runner[0].vcpu, VMCS_GUEST_IDTR_BASE) ^ 0x1000;
		vmcs_write(&self->runner[0].vcpu, VMCS_GUEST_IDTR_BASE, base);
		pin_to_cpu(0);
		take_cpu_away(&self->runner[0], &stayer);
		if (stayer.error != -EAGAIN) {
			EXPECT_EQ(0, stayer.error);
			EXPECT_EQ(base, stayer.request.value);
			EXPECT_NE(1U, stayer.request.used_on);
			stayed += stayer.request.began_on == 1;
		}
		self->runner[0].fault = step(&self->runner[0]);
		EXPECT_NO_FAULT();
	}
	EXPECT_EQ(3U, stayed);
	test_module_close();
}

/* Suspends the machine with guests running.  Each CPU is then in VMX operation again, and the guests go on. */
static void test_suspend(struct __test_metadata *_metadata, struct _test_data_cpus *self, void (*suspend)(void))
{
	struct cpu_row row;

	start_runners(self->runner);
	for (int round = 0; round < 2; round++) {
		EXPECT_TRUE(all_go_on(self->runner));
		suspend();
		ASSERT_TRUE(read_cpu(0, &row));
		EXPECT_STREQ("on", row.state);
		EXPECT_EQ(1, row.vmxe);
		EXPECT_EQ(self->before[0].vmxons + round + 1, row.vmxons);
		EXPECT_TRUE(all_go_on(self->runner));
	}
	stop_runners(self->runner);
	EXPECT_NO_FAULT();
}

static void suspend_but_for_the_last_step(void)
{
	write_file(PM_TEST, "core");
	write_file("/sys/power/state", "mem");
	write_file(PM_TEST, "none");
}

/*
 * All of suspend to memory except the last step: the other CPUs go offline, the callbacks for the last one run, and
 * everything resumes.
 */
TEST_F_TIMEOUT(cpus, suspend_and_resume_while_guests_run, 120)
{
	if (!can_write(PM_TEST) || !can_write("/sys/power/state"))
		SKIP(return, "the kernel has no suspend tests (CONFIG_PM_DEBUG)");
	if (can_write(PM_DELAY))
		write_file(PM_DELAY, "0");
	test_suspend(_metadata, self, suspend_but_for_the_last_step);
}

static void sleep_and_wake_up(void)
{
	write_file(WAKE_ALARM, "0");
	write_file(WAKE_ALARM, "+2");
	write_file("/sys/power/state", "mem");
}

/* The CPUs lose their state, and start as after a reset. */
TEST_F_TIMEOUT(cpus, machine_sleeps_and_wakes_up_while_guests_run, 120)
{
	char states[80] = "";
	FILE *file = fopen("/sys/power/mem_sleep", "r");

	if (file) {
		if (!fgets(states, sizeof(states), file))
			states[0] = '\0';
		fclose(file);
	}
	if (!strstr(states, "[deep]"))
		SKIP(return, "the machine has no suspend to memory (ACPI S3)");
	if (!can_write(WAKE_ALARM))
		SKIP(return, "no clock can wake the machine up");
	test_suspend(_metadata, self, sleep_and_wake_up);
}

TEST_HARNESS_MAIN
