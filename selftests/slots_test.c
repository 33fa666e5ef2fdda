// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that changes under running vCPUs: slots deleted, moved and replaced while guests read and write them, and
 * virtual machines that share memory or must not.
 */
#include "lib/harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/rounds.h"
#include "lib/vm.h"

#define SLOT_GPA	0x1000000UL
#define OTHER_GPA	0x40000000UL
#define PAGES		8
#define SLOT_BYTES	(PAGES * PAGE_BYTES)
#define MAX_VCPUS	3
#define EPT_VIOLATION	48
#define ROUNDS		rounds(50)

/* In slot 0: the lowest tag that a page may have, and each vCPU's reports, 64 bytes apart. */
#define LEAST_TAG	GUEST_DATA
#define BEATS(id)	(GUEST_DATA + 0x100 + 64 * (id))
#define BAD_TAG(id)	(BEATS(id) + 8)
/* In each page: its tag, and a counter for each vCPU. */
#define PAGE_TAG	0
#define PAGE_COUNTER	64

/*
 * RSI goes through the pages from RBX up to RBP. Each must have a tag at or above the lowest, which is read before the
 * tag; then the vCPU increments its counter in the page, at RCX. RDI is where the vCPU reports.
 */
GUEST_ASM(roam, 64,
	"	sti\n"
	"1:	mov %rbx, %rsi\n"
	"2:	mov 0x20000, %r8\n"
	"	mov (%rsi), %rax\n"
	"	cmp %r8, %rax\n"
	"	jb 3f\n"
	"	lock incq (%rsi,%rcx)\n"
	"	incq (%rdi)\n"
	"	add $4096, %rsi\n"
	"	cmp %rbp, %rsi\n"
	"	jb 2b\n"
	"	jmp 1b\n"
	"3:	mov %rax, 8(%rdi)\n"
	"	hlt\n");

struct runner {
	struct vcpu vcpu;
	uint32_t id;
	pthread_t thread;
	/* Run again after an access outside of memory? */
	int persist;
	int result;
	uint64_t error[4];
	atomic_int running;
	atomic_int stop;
};

FIXTURE(slots) {
	struct vm vm;
	unsigned int count;
	struct runner runner[MAX_VCPUS];
	uint8_t *block[2];
};

FIXTURE_SETUP(slots)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	self->count = MAX_VCPUS;
	for (uint32_t id = 0; id < self->count; id++) {
		self->runner[id].id = id;
		vcpu_create(&self->runner[id].vcpu, &self->vm, id);
		vcpu_enter_long(&self->runner[id].vcpu);
	}
	vm_load(&self->vm, GUEST_CODE, roam);
	self->block[0] = host_alloc(SLOT_BYTES);
	self->block[1] = host_alloc(SLOT_BYTES);
}

FIXTURE_TEARDOWN(slots)
{
	for (uint32_t id = 0; id < self->count; id++)
		vcpu_destroy(&self->runner[id].vcpu);
	vm_destroy(&self->vm);
	munmap(self->block[0], SLOT_BYTES);
	munmap(self->block[1], SLOT_BYTES);
}

static void set_start(struct runner *runner, uint64_t gpa)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK - 0x1000 * runner->id, .rbx = gpa,
		.rbp = gpa + SLOT_BYTES, .rcx = PAGE_COUNTER + 8 * runner->id, .rdi = BEATS(runner->id),
	};

	vcpu_set_regs(&runner->vcpu, &regs);
}

static void *run(void *argument)
{
	struct runner *runner = argument;
	struct kvm_run *run = runner->vcpu.run;

	do {
		if (ioctl_errno(runner->vcpu.fd, KVM_RUN, 0))
			break;
		runner->result = run->exit_reason;
		memcpy(runner->error, (void *)run->internal.data, sizeof(runner->error));
	} while (runner->persist && runner->result == KVM_EXIT_INTERNAL_ERROR && runner->error[1] == EPT_VIOLATION &&
		 !runner->stop);
	runner->running = 0;
	return NULL;
}

static void start(struct runner *runner)
{
	runner->result = -1;
	runner->running = 1;
	if (pthread_create(&runner->thread, NULL, run, runner))
		die("pthread_create");
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

#define PATIENCE 20.0

/* Waits until every vCPU has gone over all pages and more. */
static int wait_for_beats(struct vm *vm, unsigned int count)
{
	uint64_t before[MAX_VCPUS];
	double end = now() + PATIENCE;

	for (unsigned int id = 0; id < count; id++)
		before[id] = vm_read64(vm, BEATS(id));
	for (unsigned int id = 0; id < count; id++) {
		while (*(volatile uint64_t *)vm_at(vm, BEATS(id)) < before[id] + 3 * PAGES) {
			if (now() > end || vm_read64(vm, BAD_TAG(id)))
				return 0;
			usleep(100);
		}
	}
	return 1;
}

/* Returns 0 if a vCPU still runs. A runaway one is left to the harness's timeout, which would report nothing else. */
static int wait_for_exits(struct runner *runner, unsigned int count)
{
	double end = now() + PATIENCE;

	for (unsigned int id = 0; id < count; id++) {
		while (runner[id].running) {
			if (now() > end)
				return 0;
			usleep(100);
		}
		pthread_join(runner[id].thread, NULL);
	}
	return 1;
}

static void fill_tags(uint8_t *block, uint64_t tag)
{
	memset(block, 0, SLOT_BYTES);
	for (int page = 0; page < PAGES; page++)
		*(uint64_t *)(block + page * PAGE_BYTES + PAGE_TAG) = tag;
}

/* The pattern with which userspace fills memory that the guest must no longer access. */
#define REUSED 0x5a

/* 0 if the guest has written nothing to it since. */
static int was_touched(const uint8_t *block)
{
	for (size_t i = 0; i < SLOT_BYTES; i++) {
		if (block[i] != REUSED)
			return 1;
	}
	return 0;
}

/* Above every earlier tag, so that a vCPU that reads the reused page detects it. */
static uint64_t publish_least(struct vm *vm, uint64_t tag)
{
	*(volatile uint64_t *)vm_at(vm, LEAST_TAG) = tag;
	return tag;
}

#define TAG_LIMIT 0x5b00000000000000UL	/* above the pattern of reused memory */

TEST_F_TIMEOUT(slots, deleted_slot_is_inaccessible_to_every_vcpu, 100)
{
	uint8_t *block = self->block[0];

	if (!device_is_vregcache())
		SKIP(return, "%s behaves differently for an access outside of memory", device_path());
	for (uint64_t round = 0; round < ROUNDS; round++) {
		publish_least(&self->vm, TAG_LIMIT + round);
		fill_tags(block, TAG_LIMIT + round);
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, block));
		for (uint32_t id = 0; id < self->count; id++) {
			set_start(&self->runner[id], SLOT_GPA);
			start(&self->runner[id]);
		}
		ASSERT_TRUE(wait_for_beats(&self->vm, self->count));
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
		/* From here on only userspace may use the memory. */
		memset(block, REUSED, SLOT_BYTES);
		ASSERT_TRUE(wait_for_exits(self->runner, self->count))
			TH_LOG("a vCPU still runs without its memory, round %lu", round);
		for (uint32_t id = 0; id < self->count; id++) {
			struct runner *runner = &self->runner[id];

			ASSERT_EQ(0U, vm_read64(&self->vm, BAD_TAG(id)))
				TH_LOG("vCPU %u read removed memory, round %lu", id, round);
			ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, runner->result);
			EXPECT_EQ((uint64_t)EPT_VIOLATION, runner->error[1]);
			EXPECT_GE(runner->error[3], SLOT_GPA);
			EXPECT_LT(runner->error[3], SLOT_GPA + SLOT_BYTES);
		}
		ASSERT_FALSE(was_touched(block))
			TH_LOG("a vCPU wrote to removed memory, round %lu", round);
	}
}

TEST_F_TIMEOUT(slots, moved_slot_is_only_at_its_new_address, 100)
{
	uint64_t place[2] = { SLOT_GPA, OTHER_GPA };
	struct kvm_regs regs;

	if (!device_is_vregcache())
		SKIP(return, "%s behaves differently for an access outside of memory", device_path());
	fill_tags(self->block[0], TAG_LIMIT);
	publish_least(&self->vm, TAG_LIMIT);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, place[0], SLOT_BYTES, self->block[0]));
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t here = place[round % 2], there = place[(round + 1) % 2], counted[MAX_VCPUS];

		for (uint32_t id = 0; id < self->count; id++) {
			set_start(&self->runner[id], here);
			start(&self->runner[id]);
		}
		/* Also shows that the new place of the last round works on every vCPU. */
		ASSERT_TRUE(wait_for_beats(&self->vm, self->count));
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, there, SLOT_BYTES, self->block[0]));
		for (uint32_t id = 0; id < self->count; id++)
			counted[id] = *(volatile uint64_t *)(self->block[0] + PAGE_COUNTER + 8 * id);
		ASSERT_TRUE(wait_for_exits(self->runner, self->count))
			TH_LOG("a vCPU still runs at the old address, round %lu", round);
		for (uint32_t id = 0; id < self->count; id++) {
			ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, self->runner[id].result);
			EXPECT_EQ((uint64_t)EPT_VIOLATION, self->runner[id].error[1]);
			EXPECT_GE(self->runner[id].error[3], here);
			EXPECT_LT(self->runner[id].error[3], here + SLOT_BYTES);
			EXPECT_EQ(counted[id], *(uint64_t *)(self->block[0] + PAGE_COUNTER + 8 * id));
			/* The guest's next access is the one that failed. */
			vcpu_get_regs(&self->runner[id].vcpu, &regs);
			EXPECT_EQ(regs.rsi, self->runner[id].error[3] & ~(PAGE_BYTES - 1));
		}
	}
	/* A move to the current place changes nothing. */
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, place[0], SLOT_BYTES, self->block[0]));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, place[1], SLOT_BYTES, self->block[1]));
	EXPECT_EQ(-EEXIST, vm_set_slot(&self->vm, 1, 0, place[1] + PAGE_BYTES, SLOT_BYTES, self->block[0]));
}

/* The vCPUs continue whenever there is memory again, and never see the old contents. */
TEST_F_TIMEOUT(slots, replaced_memory_is_no_longer_accessed, 100)
{
	for (uint32_t id = 0; id < self->count; id++) {
		self->runner[id].persist = 1;
		set_start(&self->runner[id], SLOT_GPA);
	}
	for (uint64_t round = 0; round < 2 * ROUNDS; round++) {
		uint8_t *block = self->block[round % 2];

		publish_least(&self->vm, TAG_LIMIT + round);
		fill_tags(block, TAG_LIMIT + round);
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, block));
		for (uint32_t id = 0; !round && id < self->count; id++)
			start(&self->runner[id]);
		if (round) {
			/* This one was replaced just now. */
			ASSERT_FALSE(was_touched(self->block[(round + 1) % 2]))
				TH_LOG("a vCPU wrote to removed memory, round %lu", round);
		}
		ASSERT_TRUE(wait_for_beats(&self->vm, self->count))
			TH_LOG("bad tags %#lx %#lx %#lx, round %lu", vm_read64(&self->vm, BAD_TAG(0)),
			       vm_read64(&self->vm, BAD_TAG(1)), vm_read64(&self->vm, BAD_TAG(2)), round);
		if (round == 2 * ROUNDS - 1)
			for (uint32_t id = 0; id < self->count; id++)
				self->runner[id].stop = 1;
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
		memset(block, REUSED, SLOT_BYTES);
	}
	ASSERT_TRUE(wait_for_exits(self->runner, self->count));
	for (uint32_t id = 0; id < self->count; id++)
		EXPECT_EQ(0U, vm_read64(&self->vm, BAD_TAG(id)));
	EXPECT_FALSE(was_touched(self->block[1]));
}

/* Loads a word at RSI, and stores one at RDI, after every HLT. */
GUEST_ASM(peek, 64,
	"1:	mov (%rsi), %rbx\n"
	"	mov %rcx, (%rdi)\n"
	"	hlt\n"
	"	jmp 1b\n");

/* An online CPU other than this one, or -1: the caller may be bound to this one already. */
static int another_cpu_of_all(int cpu)
{
	for (int other = 0; other < 64; other++) {
		if (other != cpu && !pin_to_cpu(other)) {
			pin_to_cpu(cpu);
			return other;
		}
	}
	return -1;
}

static uint64_t peek_poke(struct vcpu *vcpu, uint64_t from, uint64_t to, uint64_t value)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rsi = from, .rdi = to, .rcx = value,
	};

	vcpu_set_regs(vcpu, &regs);
	if (vcpu_run(vcpu) != KVM_EXIT_HLT)
		die("exit reason %u", vcpu->run->exit_reason);
	vcpu_get_regs(vcpu, &regs);
	return regs.rbx;
}

TEST_F(slots, one_block_in_two_slots_and_two_vms)
{
	struct vcpu *vcpu = &self->runner[0].vcpu, other_vcpu;
	uint64_t *block = (uint64_t *)self->block[0];
	struct vm other;

	vm_load(&self->vm, GUEST_CODE, peek);
	vm_create(&other, GUEST_MEM_SIZE);
	vcpu_create(&other_vcpu, &other, 0);
	vcpu_enter_long(&other_vcpu);
	vm_load(&other, GUEST_CODE, peek);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, block));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, OTHER_GPA, SLOT_BYTES, block));
	ASSERT_EQ(0, vm_set_slot(&other, 1, 0, SLOT_GPA, SLOT_BYTES, block));
	for (uint64_t turn = 1; turn < 20; turn++) {
		block[0] = turn;
		EXPECT_EQ(turn, peek_poke(vcpu, SLOT_GPA, OTHER_GPA + 8, 2 * turn));
		EXPECT_EQ(2 * turn, peek_poke(vcpu, SLOT_GPA + 8, GUEST_FREE, 0));
		EXPECT_EQ(2 * turn, peek_poke(&other_vcpu, SLOT_GPA + 8, SLOT_GPA + 16, 3 * turn));
		EXPECT_EQ(3 * turn, peek_poke(vcpu, OTHER_GPA + 16, GUEST_FREE, 0));
		EXPECT_EQ(3 * turn, block[2]);
	}
	/* Each is deleted by itself. */
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
	EXPECT_EQ(block[0], peek_poke(vcpu, OTHER_GPA, GUEST_FREE, 0));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, OTHER_GPA, 0, NULL));
	EXPECT_EQ(block[0], peek_poke(&other_vcpu, SLOT_GPA, GUEST_FREE, 0));
	vcpu_destroy(&other_vcpu);
	vm_destroy(&other);
}

/* A CPU that ran the vCPU earlier, but not since, must drop its translations as well. */
TEST_F(slots, previous_cpu_is_flushed_too)
{
	struct vcpu *vcpu = &self->runner[0].vcpu;
	int here = pin_here(), there = another_cpu_of_all(here);

	if (there < 0)
		SKIP(return, "the machine has one CPU");
	vm_load(&self->vm, GUEST_CODE, peek);
	for (uint64_t turn = 0; turn < rounds(50); turn++) {
		uint64_t *old = (uint64_t *)self->block[turn % 2], *new = (uint64_t *)self->block[(turn + 1) % 2];

		old[0] = turn;
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, old));
		ASSERT_EQ(turn, peek_poke(vcpu, SLOT_GPA, SLOT_GPA + 8, 0));
		ASSERT_EQ(0, pin_to_cpu(there));
		ASSERT_EQ(turn, peek_poke(vcpu, SLOT_GPA, SLOT_GPA + 8, 0));
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
		new[0] = ~turn;
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, new));
		old[0] = old[1] = REUSED;
		ASSERT_EQ(0, pin_to_cpu(here));
		ASSERT_EQ(~turn, peek_poke(vcpu, SLOT_GPA, SLOT_GPA + 8, turn))
			TH_LOG("turn %lu", turn);
		ASSERT_EQ((uint64_t)REUSED, old[1]);
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
	}
}

/* Its page tables are likely to be where those of the last one were. */
TEST(new_vm_has_no_translations_of_an_old_one)
{
	uint8_t *memory[2] = { host_alloc(GUEST_MEM_SIZE), host_alloc(GUEST_MEM_SIZE) };
	struct vcpu vcpu;
	struct vm vm;

	for (uint64_t turn = 0; turn < rounds(50); turn++) {
		vm_create_bare(&vm);
		vm.mem = memory[turn % 2];
		vm.mem_size = GUEST_MEM_SIZE;
		ASSERT_EQ(0, vm_set_slot(&vm, 0, 0, 0, GUEST_MEM_SIZE, vm.mem));
		vcpu_create(&vcpu, &vm, 0);
		vcpu_enter_long(&vcpu);
		vm_load(&vm, GUEST_CODE, peek);
		vm_write64(&vm, GUEST_FREE, turn);
		ASSERT_EQ(turn, peek_poke(&vcpu, GUEST_FREE, GUEST_FREE + 8, ~turn));
		ASSERT_EQ(~turn, vm_read64(&vm, GUEST_FREE + 8));
		vcpu_destroy(&vcpu);
		close(vm.fd);
		close(vm.dev);
	}
	munmap(memory[0], GUEST_MEM_SIZE);
	munmap(memory[1], GUEST_MEM_SIZE);
}

/*
 * Two vCPUs take turns: the word at 0x20000 is even for the one, odd for the other (RBX), up to RBP; the waiting vCPU
 * now and then exits to userspace to yield the CPU. At each turn the word at 0x20040 must be that of the vCPU's own
 * virtual machine, RDX. Both increment the word at 0x20080 without taking turns.
 */
GUEST_ASM(take_turns, 64,
	"	sti\n"
	"1:	mov $200, %ecx\n"
	"2:	mov 0x20000, %rax\n"
	"	cmp %rbp, %rax\n"
	"	jae 5f\n"
	"	mov %rax, %r8\n"
	"	and $1, %r8\n"
	"	cmp %rbx, %r8\n"
	"	je 3f\n"
	"	pause\n"
	"	dec %ecx\n"
	"	jnz 2b\n"
	"	hlt\n"
	"	jmp 1b\n"
	"3:	cmp 0x20040, %rdx\n"
	"	jne 6f\n"
	"	mov $16, %ecx\n"
	"4:	lock incq 0x20080\n"
	"	loop 4b\n"
	"	inc %rax\n"
	"	mov %rax, 0x20000\n"
	"	jmp 1b\n"
	"5:	out %al, $" GUEST_STRING(PORT_DONE) "\n"
	"6:	out %al, $" GUEST_STRING(PORT_FAIL) "\n");

struct player {
	struct vcpu vcpu;
	pthread_t thread;
	int port;
};

static void *play(void *argument)
{
	struct player *player = argument;
	int reason;

	while ((reason = vcpu_run(&player->vcpu)) == KVM_EXIT_HLT)
		sched_yield();
	player->port = reason == KVM_EXIT_IO ? player->vcpu.run->io.port : -reason;
	return NULL;
}

#define MACHINES 3
#define TURNS rounds(200)

TEST(vms_do_not_affect_each_other)
{
	struct {
		struct vm vm;
		struct player player[2];
	} machine[MACHINES];

	for (uint64_t i = 0; i < MACHINES; i++) {
		vm_create(&machine[i].vm, GUEST_MEM_SIZE);
		for (uint64_t id = 0; id < 2; id++) {
			struct kvm_regs regs = {
				.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rbx = id,
				.rbp = TURNS + i, .rdx = 0x123456789a00 + i,
			};

			vcpu_create(&machine[i].player[id].vcpu, &machine[i].vm, id);
			vcpu_enter_long(&machine[i].player[id].vcpu);
			vcpu_set_regs(&machine[i].player[id].vcpu, &regs);
		}
		vm_load(&machine[i].vm, GUEST_CODE, take_turns);
		vm_write64(&machine[i].vm, 0x20040, 0x123456789a00 + i);
	}
	for (int i = 0; i < MACHINES; i++) {
		for (int id = 0; id < 2; id++) {
			ASSERT_EQ(0, pthread_create(&machine[i].player[id].thread, NULL, play,
						    &machine[i].player[id]));
		}
	}
	for (int i = 0; i < MACHINES; i++) {
		for (int id = 0; id < 2; id++) {
			pthread_join(machine[i].player[id].thread, NULL);
			EXPECT_EQ(PORT_DONE, machine[i].player[id].port);
			vcpu_destroy(&machine[i].player[id].vcpu);
		}
		EXPECT_EQ((uint64_t)TURNS + i, vm_read64(&machine[i].vm, 0x20000));
		EXPECT_EQ(16U * (TURNS + i), vm_read64(&machine[i].vm, 0x20080));
		vm_destroy(&machine[i].vm);
	}
}

TEST_HARNESS_MAIN
