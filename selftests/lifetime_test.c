// SPDX-License-Identifier: GPL-2.0
/* Files and mappings go in any order, processes die at any time, and nothing stays behind. */
#include "lib/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "lib/modes.h"
#include "lib/vm.h"

GUEST_ASM(spin, 64,
	"	sti\n"
	"1:	incl 0x20000\n"
	"	jmp 1b\n");

GUEST_ASM(halt, 64,
	"1:	hlt\n"
	"	jmp 1b\n");

struct pieces {
	struct vm vm;
	struct vcpu vcpu;
};

static void make(struct pieces *pieces)
{
	vm_create(&pieces->vm, GUEST_MEM_SIZE);
	vcpu_create(&pieces->vcpu, &pieces->vm, 0);
	vcpu_enter_long(&pieces->vcpu);
	vm_load(&pieces->vm, GUEST_CODE, halt);
}

enum piece { DEV, VM, VCPU, MAPPING, PIECES };

static void drop(struct pieces *pieces, enum piece piece)
{
	switch (piece) {
	case DEV:
		close(pieces->vm.dev);
		break;
	case VM:
		close(pieces->vm.fd);
		break;
	case VCPU:
		close(pieces->vcpu.fd);
		break;
	default:
		munmap(pieces->vcpu.run, pieces->vcpu.run_size);
		break;
	}
}

/* The mapping goes at each place of the six orders of the files. */
static const enum piece orders[][PIECES] = {
	{ DEV, VM, VCPU, MAPPING },
	{ DEV, VCPU, MAPPING, VM },
	{ VM, DEV, MAPPING, VCPU },
	{ VM, MAPPING, VCPU, DEV },
	{ MAPPING, VCPU, DEV, VM },
	{ VCPU, MAPPING, VM, DEV },
};

TEST(pieces_go_in_any_order_and_what_is_left_works)
{
	struct pieces pieces;

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		int has_vcpu = 1, has_mapping = 1;

		make(&pieces);
		for (int step = 0; step < PIECES; step++) {
			drop(&pieces, orders[i][step]);
			has_vcpu &= orders[i][step] != VCPU;
			has_mapping &= orders[i][step] != MAPPING;
			if (has_vcpu) {
				ASSERT_EQ(0, ioctl_errno(pieces.vcpu.fd, KVM_RUN, 0))
					TH_LOG("order %zu, step %d", i, step);
			}
			if (has_vcpu && has_mapping)
				ASSERT_EQ((unsigned int)KVM_EXIT_HLT, pieces.vcpu.run->exit_reason);
			/* A mapping alone is still memory. */
			if (has_mapping)
				pieces.vcpu.run->immediate_exit = 0;
		}
		munmap(pieces.vm.mem, pieces.vm.mem_size);
	}
}

TEST(exit_without_closing_anything)
{
	struct pieces pieces;
	int status;
	pid_t child;

	for (int turn = 0; turn < 10; turn++) {
		child = fork();
		if (child == 0) {
			make(&pieces);
			_exit(vcpu_run(&pieces.vcpu) == KVM_EXIT_HLT ? 42 : 1);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		ASSERT_EQ(42, WEXITSTATUS(status));
	}
}

TEST(kill_in_the_middle_of_a_guest_that_spins)
{
	uint32_t *shared = mmap(NULL, GUEST_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile uint32_t *counter = shared + GUEST_DATA / sizeof(*shared);
	struct pieces pieces;
	int status;
	pid_t child;

	ASSERT_NE(MAP_FAILED, shared);
	for (int turn = 0; turn < 5; turn++) {
		*counter = 0;
		child = fork();
		if (child == 0) {
			vm_create_bare(&pieces.vm);
			pieces.vm.mem = (uint8_t *)shared;
			pieces.vm.mem_size = GUEST_MEM_SIZE;
			if (vm_set_slot(&pieces.vm, 0, 0, 0, GUEST_MEM_SIZE, shared))
				_exit(1);
			vcpu_create(&pieces.vcpu, &pieces.vm, 0);
			vcpu_enter_long(&pieces.vcpu);
			vm_load(&pieces.vm, GUEST_CODE, spin);
			vcpu_run(&pieces.vcpu);
			_exit(2);
		}
		/* The counter is the guest's own word that it runs. */
		for (int wait = 0; wait < 2000 && *counter < 100; wait++)
			usleep(2000);
		ASSERT_GE(*counter, 100U);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	munmap(shared, GUEST_MEM_SIZE);
}

static long number_in(const char *path, const char *format)
{
	FILE *file = fopen(path, "r");
	long value = -1;
	char line[256];

	if (!file)
		die("%s", path);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, format, &value) == 1)
			break;
	}
	fclose(file);
	return value;
}

static void one_life(void)
{
	struct pieces pieces;

	make(&pieces);
	if (vcpu_run(&pieces.vcpu) != KVM_EXIT_HLT)
		die("exit reason %u", pieces.vcpu.run->exit_reason);
	vcpu_destroy(&pieces.vcpu);
	vm_destroy(&pieces.vm);
}

/* Guest memory that leaked would be 2 MiB for each of 200. */
#define LIVES		200
#define ALLOWED_KIB	(16L << 10)

FIXTURE(lives) {
	long pinned;
};

FIXTURE_SETUP(lives)
{
	/* What the first ones allocate for good is not counted. */
	for (int i = 0; i < 10; i++)
		one_life();
	self->pinned = number_in("/proc/self/status", "VmPin: %ld");
}

FIXTURE_TEARDOWN(lives)
{
}

TEST_F_TIMEOUT(lives, many_lives_leave_no_memory_behind, 120)
{
	long free_before, free_after;

	free_before = number_in("/proc/meminfo", "MemFree: %ld");
	for (int i = 0; i < LIVES; i++)
		one_life();
	free_after = number_in("/proc/meminfo", "MemFree: %ld");
	EXPECT_EQ(self->pinned, number_in("/proc/self/status", "VmPin: %ld"));
	EXPECT_EQ(0, number_in("/proc/self/status", "VmLck: %ld"));
	EXPECT_GT(free_after + ALLOWED_KIB, free_before);
}

TEST(module_stays_while_a_machine_lives_and_goes_afterwards)
{
	struct pieces pieces;
	int device;

	if (!device_is_vregcache())
		SKIP(return, "%s belongs to another module", device_path());
	if (!getenv("VRC_MODULES"))
		SKIP(return, "VRC_MODULES is not set, so the module could not be loaded again");
	make(&pieces);
	close(pieces.vm.dev);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "vregcache", O_NONBLOCK));
	close(pieces.vm.fd);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "vregcache", O_NONBLOCK));
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&pieces.vcpu));
	close(pieces.vcpu.fd);
	munmap(pieces.vcpu.run, pieces.vcpu.run_size);
	EXPECT_EQ(0, syscall(SYS_delete_module, "vregcache", O_NONBLOCK))
		TH_LOG("%s", strerror(errno));
	/* Loads it again, for whoever comes next. */
	device = device_open();
	close(device);
}

TEST_HARNESS_MAIN
