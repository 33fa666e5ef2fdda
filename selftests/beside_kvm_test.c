// SPDX-License-Identifier: GPL-2.0
/*
 * KVM's guests and ours at the same time, on one CPU and on all, moving between them, while CPUs go offline.  Both are
 * those of migration_test, which checks every register of its guests at each exit: general-purpose, segment, control
 * and debug registers, FPU, SSE and AVX, STAR, LSTAR, CSTAR, SFMASK, TSC_AUX and more.  Meanwhile an interrupt checks
 * that each CPU's VMCS pointer is what KVM believes.
 */
#define _GNU_SOURCE
#include "lib/harness.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/cpus.h"
#include "lib/rounds.h"
#include "lib/test_module.h"
#include "lib/vm.h"
#include "vregcache_test/vregcache_test.h"

/* A software CPU needs some time for each. */
#define PERIOD_US	211
#define CPU1_ONLINE	"/sys/devices/system/cpu/cpu1/online"

struct program {
	pid_t pid;
	FILE *output;
	int status;
};

/* migration_test on one of the devices. */
static void start(struct program *program, const char *device, int cpu)
{
	program->output = tmpfile();
	if (!program->output)
		die("temporary file");
	program->pid = fork();
	if (program->pid < 0)
		die("fork");
	if (program->pid)
		return;
	if (device)
		setenv("VRC_DEVICE", device, 1);
	setenv("VRC_ONE_OF_TWO", "1", 1);
	/* One of them makes enough noise for several CPUs, and the other one enough for one. */
	if (device || sysconf(_SC_NPROCESSORS_CONF) == 1)
		setenv("VRC_QUIET", "1", 1);
	if (cpu >= 0)
		pin_to_cpu(cpu);
	dup2(fileno(program->output), STDOUT_FILENO);
	dup2(fileno(program->output), STDERR_FILENO);
	execl("./migration_test", "migration_test", NULL);
	_exit(127);
}

static int is_running(struct program *program)
{
	return waitpid(program->pid, &program->status, WNOHANG) == 0;
}

/* Passes on what it says of a failure.  Returns 1 if it has passed. */
static int has_passed(struct __test_metadata *_metadata, struct program *program, const char *name)
{
	int passed = WIFEXITED(program->status) && !WEXITSTATUS(program->status);
	char line[300];

	rewind(program->output);
	while (!passed && fgets(line, sizeof(line), program->output)) {
		line[strcspn(line, "\n")] = '\0';
		if (strstr(line, "Expected") || strstr(line, "migration_test.c"))
			TH_LOG("%s: %s", name, line);
	}
	fclose(program->output);
	return passed;
}

FIXTURE(beside_kvm)
{
	const char *skipped;
	struct vrc_test_pointers pointers;
};

FIXTURE_SETUP(beside_kvm)
{
	uint32_t period = PERIOD_US;

	self->skipped = !is_beside_kvm() ? "KVM is not loaded, or does not own VMX" : test_module_load();
	if (self->skipped)
		SKIP(return, "%s", self->skipped);
	ASSERT_EQ(0, test_module_ioctl(VRC_TEST_POINTERS_BEGIN, &period));
}

FIXTURE_TEARDOWN(beside_kvm)
{
	if (self->skipped)
		return;
	EXPECT_EQ(0, test_module_ioctl(VRC_TEST_POINTERS_END, &self->pointers));
	test_module_close();
	EXPECT_EQ(0U, self->pointers.wrong);
	if (_metadata->skip)
		return;
	EXPECT_LT(100U, self->pointers.compared);
	/* Otherwise the guests have not met. */
	EXPECT_LT(10U, self->pointers.kvms);
	TH_LOG("%llu comparisons, %llu of them where KVM has a VMCS; %llu with ours", self->pointers.compared,
	       self->pointers.kvms, self->pointers.others);
}

/* Both programs, until both have ended; @meanwhile is called again and again. */
static void run_both(struct __test_metadata *_metadata, int cpu, void (*meanwhile)(void))
{
	struct program ours, kvms;
	int left = 2;

	start(&ours, NULL, cpu);
	start(&kvms, "/dev/kvm", cpu);
	while (left) {
		meanwhile();
		left = is_running(&ours) + is_running(&kvms);
	}
	EXPECT_TRUE(has_passed(_metadata, &ours, "vregcache"));
	EXPECT_TRUE(has_passed(_metadata, &kvms, "KVM"));
}

static void wait_a_moment(void)
{
	usleep(20000);
}

/* migration_test moves its guests' tasks to random CPUs. */
TEST_F_TIMEOUT(beside_kvm, guests_of_both_keep_their_registers, 250)
{
	RETURN_IF_SKIPPED();
	run_both(_metadata, -1, wait_a_moment);
}

static void switch_cpu1(void)
{
	static int online = 1;
	int file = open(CPU1_ONLINE, O_WRONLY | O_CLOEXEC);

	online = !online;
	if (file < 0 || write(file, online ? "1" : "0", 1) != 1)
		online = !online;
	if (file >= 0)
		close(file);
	usleep(100000);
}

TEST_F_TIMEOUT(beside_kvm, guests_of_both_keep_their_registers_while_a_cpu_goes_offline, 250)
{
	int file;

	RETURN_IF_SKIPPED();
	if (access(CPU1_ONLINE, W_OK))
		SKIP(return, "no second CPU can go offline");
	run_both(_metadata, -1, switch_cpu1);
	file = open(CPU1_ONLINE, O_WRONLY | O_CLOEXEC);
	/* It may be online: the error is no fault. */
	if (write(file, "1", 1) != 1)
		TH_LOG("CPU 1 stays as it is");
	close(file);
}

TEST_HARNESS_MAIN
