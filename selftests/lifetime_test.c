// SPDX-License-Identifier: GPL-2.0
/* Files and mappings are closed in any order, processes die at any time, and nothing is left. */
#include "lib/harness.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "lib/modes.h"
#include "lib/rounds.h"
#include "lib/vm.h"

GUEST_ASM(spin, 64,
	"	sti\n"
	"1:	incl 0x20000\n"
	"	jmp 1b\n");

GUEST_ASM(halt, 64,
	"1:	hlt\n"
	"	jmp 1b\n");

GUEST_ASM(touch, 64,
	"	incq (%rsi)\n"
	"	hlt\n");

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

/* The mapping is removed at each place in the six orders of the files. */
static const enum piece orders[][PIECES] = {
	{ DEV, VM, VCPU, MAPPING },
	{ DEV, VCPU, MAPPING, VM },
	{ VM, DEV, MAPPING, VCPU },
	{ VM, MAPPING, VCPU, DEV },
	{ MAPPING, VCPU, DEV, VM },
	{ VCPU, MAPPING, VM, DEV },
};

TEST(files_may_be_closed_in_any_order)
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
			/* The mapping alone still has its memory. */
			if (has_mapping)
				pieces.vcpu.run->immediate_exit = 0;
		}
		munmap(pieces.vm.mem, pieces.vm.mem_size);
	}
}

TEST(exit_closes_everything)
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

TEST(kill_ends_a_spinning_guest)
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
		/* The counter shows that the guest runs. */
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

/* The value of a counter in a file of lines "name value", such as /proc/vmstat, or -1 if there is no such line. */
static long counter_in(const char *path, const char *name)
{
	char format[64];

	snprintf(format, sizeof(format), "%s %%ld", name);
	return number_in(path, format);
}

/* The counters of /proc/vmstat are kept per CPU and summed from time to time; this sums them now. */
static void refresh_vmstat(void)
{
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "r");

	if (!file)
		return;
	while (fgetc(file) != EOF)
		;
	fclose(file);
}

/* Pages that are pinned in the whole system: no other task pins any here. */
static long pages_pinned(void)
{
	refresh_vmstat();
	return counter_in("/proc/vmstat", "nr_foll_pin_acquired") - counter_in("/proc/vmstat", "nr_foll_pin_released");
}

#define LIVES		(2 * rounds(32))
#define MEMORY_TABLE	"/sys/kernel/debug/vregcache/memory"

/* The exact number of pages that the module has allocated. */
static long module_pages(void)
{
	return device_is_vregcache() ? number_in(MEMORY_TABLE, "pages %ld") : 0;
}

static long module_blocks(void)
{
	return device_is_vregcache() ? number_in(MEMORY_TABLE, "blocks %ld") : 0;
}

FIXTURE(lives) {
	long pinned;
	long pages_pinned;
	long pages;
	long blocks;
};

FIXTURE_SETUP(lives)
{
	/* Permanent allocations by the first ones are not counted. */
	for (unsigned int i = 0; i < LIVES; i++)
		one_life();
	self->pinned = number_in("/proc/self/status", "VmPin: %ld");
	self->pages_pinned = pages_pinned();
	self->pages = module_pages();
	self->blocks = module_blocks();
}

FIXTURE_TEARDOWN(lives)
{
}

TEST_F_TIMEOUT(lives, repeated_creation_leaks_no_memory, 120)
{
	for (unsigned int i = 0; i < LIVES; i++)
		one_life();
	EXPECT_EQ(self->pages, module_pages());
	EXPECT_EQ(self->blocks, module_blocks());
	EXPECT_EQ(self->pages_pinned, pages_pinned());
	EXPECT_EQ(self->pinned, number_in("/proc/self/status", "VmPin: %ld"));
	EXPECT_EQ(0, number_in("/proc/self/status", "VmLck: %ld"));
}

/* A slot that moves from place to place would leave page tables everywhere if empty ones were kept. */
TEST_F_TIMEOUT(lives, moving_a_slot_leaks_no_page_tables, 120)
{
	uint8_t *block = host_alloc(PAGE_BYTES);
	struct pieces pieces;
	long pages = 0;

	if (!device_is_vregcache())
		SKIP(return, "%s maps pages that are not pinned", device_path());
	make(&pieces);
	vm_load(&pieces.vm, GUEST_CODE, touch);
	for (uint64_t i = 1; i <= LIVES; i++) {
		uint64_t place = i << 21;
		struct kvm_regs regs = {
			.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rsi = place,
		};

		ASSERT_EQ(0, vm_set_slot(&pieces.vm, 1, 0, place, PAGE_BYTES, block));
		vcpu_set_regs(&pieces.vcpu, &regs);
		ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&pieces.vcpu));
		/* The slot leaves by deletion, or else by a move. */
		if (i % 2)
			ASSERT_EQ(0, vm_set_slot(&pieces.vm, 1, 0, place, 0, NULL));
		if (i == 2)
			pages = module_pages();
	}
	EXPECT_EQ(pages, module_pages());
	EXPECT_EQ((uint64_t)LIVES, *(uint64_t *)block);
	vcpu_destroy(&pieces.vcpu);
	vm_destroy(&pieces.vm);
	munmap(block, PAGE_BYTES);
}

TEST_F_TIMEOUT(lives, killed_process_leaves_nothing_pinned, 60)
{
	struct pieces pieces;
	int status;
	pid_t child;

	for (int turn = 0; turn < 10; turn++) {
		child = fork();
		if (child == 0) {
			make(&pieces);
			vm_load(&pieces.vm, GUEST_CODE, spin);
			vcpu_run(&pieces.vcpu);
			_exit(1);
		}
		usleep(1000 + 3000 * turn);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, &status, 0));
	}
	/* Files are closed after the end of the process. */
	for (int wait = 0; wait < 200 && pages_pinned() != self->pages_pinned; wait++)
		usleep(10000);
	EXPECT_EQ(self->pages_pinned, pages_pinned());
}

TEST(module_can_be_unloaded_only_without_vms)
{
	struct pieces pieces;
	int device;

	if (!device_is_vregcache())
		SKIP(return, "%s belongs to another module", device_path());
	if (!getenv("VRC_MODULES"))
		SKIP(return, "VRC_MODULES is not set, so the module could not be loaded again");
	/* An earlier test may have left vregcache_test loaded, which holds vregcache. */
	syscall(SYS_delete_module, "vregcache_test", O_NONBLOCK);
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
	/* Loads it again for the next test. */
	device = device_open();
	close(device);
}

TEST_HARNESS_MAIN
