// SPDX-License-Identifier: GPL-2.0
/* Memory slots: refused requests, deletion and replacement, visibility of memory, and the charge. */
#include "lib/harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "lib/modes.h"
#include "lib/vm.h"

#define SLOT_GPA	0x1000000UL
#define SLOT_BYTES	(64 * PAGE_BYTES)

FIXTURE(memory) {
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *block;
};

/* Loads the word at RSI into RBX, again and again, with a HLT in between. */
GUEST_ASM(peek, 64,
	"1:	mov (%rsi), %rbx\n"
	"	hlt\n"
	"	jmp 1b\n");

FIXTURE_SETUP(memory)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsi = SLOT_GPA };

	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, peek);
	vcpu_set_regs(&self->vcpu, &regs);
	self->block = host_alloc(SLOT_BYTES);
}

FIXTURE_TEARDOWN(memory)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	munmap(self->block, SLOT_BYTES);
}

static uint64_t peek(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	if (vcpu_run(vcpu) != KVM_EXIT_HLT)
		die("exit reason %u", vcpu->run->exit_reason);
	vcpu_get_regs(vcpu, &regs);
	return regs.rbx;
}

TEST_F(memory, overlapping_slots_are_refused)
{
	EXPECT_EQ(-EEXIST, vm_set_slot(&self->vm, 1, 0, 0, SLOT_BYTES, self->block));
	EXPECT_EQ(-EEXIST, vm_set_slot(&self->vm, 1, 0, GUEST_MEM_SIZE - PAGE_BYTES, SLOT_BYTES, self->block));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(-EEXIST, vm_set_slot(&self->vm, 2, 0, SLOT_GPA + SLOT_BYTES - PAGE_BYTES, PAGE_BYTES, self->block));
	/* An adjacent slot does not overlap. */
	EXPECT_EQ(0, vm_set_slot(&self->vm, 2, 0, SLOT_GPA + SLOT_BYTES, PAGE_BYTES, self->block));
}

TEST_F(memory, misaligned_slots_are_refused)
{
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, SLOT_GPA + 0x800, SLOT_BYTES, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES - 1, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block + 1));
}

TEST_F(memory, invalid_slots_are_refused)
{
	/* Flags, the slot's number, an end beyond the last address. */
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0x80000000, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 0xffff, 0, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, ~0UL << 12, SLOT_BYTES, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, ~0UL << 12, self->block));
	/* Kernel addresses. */
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, (void *)0xffff888000000000));
	/* There is nothing to delete. */
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
}

TEST_F(memory, slot_without_memory_is_unusable)
{
	uint8_t *hole = host_alloc(SLOT_BYTES);
	long error;

	munmap(hole, SLOT_BYTES);
	error = vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, hole);
	EXPECT_TRUE(error == -EFAULT || error == -EINVAL || error == 0)
		TH_LOG("%ld", error);
	if (error)
		return;
	/* If pages are looked up on demand, the guest's access fails. */
	error = ioctl_errno(self->vcpu.fd, KVM_RUN, 0);
	EXPECT_TRUE(error == -EFAULT || (error == 0 && self->vcpu.run->exit_reason != KVM_EXIT_HLT))
		TH_LOG("%ld, exit reason %u", error, self->vcpu.run->exit_reason);
}

TEST_F(memory, deleted_slot_frees_its_addresses)
{
	uint8_t *other = host_alloc(SLOT_BYTES);
	int reason;

	*(uint64_t *)self->block = 0x1111;
	*(uint64_t *)other = 0x2222;
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(0x1111U, peek(&self->vcpu));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, SLOT_GPA, SLOT_BYTES, other));
	EXPECT_EQ(0x2222U, peek(&self->vcpu));

	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, SLOT_GPA, 0, NULL));
	reason = vcpu_run(&self->vcpu);
	EXPECT_TRUE(reason == KVM_EXIT_MMIO || reason == KVM_EXIT_INTERNAL_ERROR)
		TH_LOG("exit reason %d", reason);
	munmap(other, SLOT_BYTES);
}

TEST_F(memory, each_replacement_is_visible)
{
	for (uint64_t turn = 0; turn < 100; turn++) {
		uint8_t *fresh = host_alloc(PAGE_BYTES);

		*(uint64_t *)fresh = turn * 0x10001;
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, PAGE_BYTES, fresh));
		ASSERT_EQ(turn * 0x10001, peek(&self->vcpu));
		ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
		munmap(fresh, PAGE_BYTES);
	}
}

TEST_F(memory, vms_do_not_share_memory)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsi = GUEST_FREE };
	struct vcpu other_vcpu;
	struct vm other;

	vm_create(&other, GUEST_MEM_SIZE);
	vcpu_create(&other_vcpu, &other, 0);
	vcpu_enter_long(&other_vcpu);
	vm_load(&other, GUEST_CODE, peek);
	vcpu_set_regs(&other_vcpu, &regs);
	vcpu_set_regs(&self->vcpu, &regs);
	for (uint64_t turn = 0; turn < 50; turn++) {
		vm_write64(&self->vm, GUEST_FREE, turn);
		vm_write64(&other, GUEST_FREE, ~turn);
		ASSERT_EQ(turn, peek(&self->vcpu));
		ASSERT_EQ(~turn, peek(&other_vcpu));
	}
	vcpu_destroy(&other_vcpu);
	vm_destroy(&other);
}

TEST_F(memory, vcpus_share_the_memory_of_their_vm)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsi = GUEST_FREE };
	struct vcpu second;

	vcpu_create(&second, &self->vm, 1);
	vcpu_enter_long(&second);
	vcpu_set_regs(&second, &regs);
	vcpu_set_regs(&self->vcpu, &regs);
	vm_write64(&self->vm, GUEST_FREE, 0xabc);
	EXPECT_EQ(0xabcU, peek(&self->vcpu));
	EXPECT_EQ(0xabcU, peek(&second));
	vcpu_destroy(&second);
}

/* Stores RBX to the word at RSI. */
GUEST_ASM(poke, 64,
	"	mov %rbx, (%rsi)\n"
	"	hlt\n");

/* Exit qualification of EPT violations (SDM Vol. 3C, table 28-7). */
#define EPT_VIOLATION	48
#define EPT_READ	0x1
#define EPT_WRITE	0x2
#define EPT_FETCH	0x4
#define EPT_ACCESS	0x7

/* The run ends, and userspace gets the type and the address of the guest's access. */
static void expect_no_memory(struct __test_metadata *_metadata, struct vcpu *vcpu, uint64_t access, uint64_t address)
{
	struct kvm_regs before, after;

	vcpu_get_regs(vcpu, &before);
	ASSERT_EQ(0, ioctl_errno(vcpu->fd, KVM_RUN, 0));
	ASSERT_EQ((uint32_t)KVM_EXIT_INTERNAL_ERROR, vcpu->run->exit_reason);
	EXPECT_EQ((uint32_t)KVM_INTERNAL_ERROR_EMULATION, vcpu->run->internal.suberror);
	ASSERT_EQ(4U, vcpu->run->internal.ndata);
	EXPECT_EQ(0U, vcpu->run->internal.data[0]);
	EXPECT_EQ((uint64_t)EPT_VIOLATION, vcpu->run->internal.data[1]);
	EXPECT_EQ(access, vcpu->run->internal.data[2] & EPT_ACCESS);
	EXPECT_EQ(address, vcpu->run->internal.data[3]);
	/* The instruction has not been executed; the exit may set RF, as a fault would. */
	vcpu_get_regs(vcpu, &after);
	before.rflags |= 1 << 16;
	after.rflags |= 1 << 16;
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

TEST_F(memory, access_outside_all_slots_is_reported)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsi = SLOT_GPA + 0x123, .rbx = 0x1234 };

	if (!device_is_vregcache())
		SKIP(return, "%s emulates such accesses", device_path());
	vcpu_set_regs(&self->vcpu, &regs);
	expect_no_memory(_metadata, &self->vcpu, EPT_READ, SLOT_GPA + 0x123);

	vm_load(&self->vm, GUEST_CODE, poke);
	regs.rsi = 0xfee00008;
	vcpu_set_regs(&self->vcpu, &regs);
	expect_no_memory(_metadata, &self->vcpu, EPT_WRITE, 0xfee00008);

	regs.rip = SLOT_GPA + PAGE_BYTES;
	vcpu_set_regs(&self->vcpu, &regs);
	expect_no_memory(_metadata, &self->vcpu, EPT_FETCH, SLOT_GPA + PAGE_BYTES);

	/* With memory at the address, the guest continues. */
	regs.rip = GUEST_CODE;
	regs.rsi = SLOT_GPA;
	vcpu_set_regs(&self->vcpu, &regs);
	expect_no_memory(_metadata, &self->vcpu, EPT_WRITE, SLOT_GPA);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	EXPECT_EQ(0x1234U, *(uint64_t *)self->block);
}

/* VmLck and VmPin together, in KiB: whichever of them the module charges. */
static long charged_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	long sum = 0, value;
	char line[256];

	if (!file)
		die("/proc/self/status");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmLck: %ld", &value) == 1 || sscanf(line, "VmPin: %ld", &value) == 1)
			sum += value;
	}
	fclose(file);
	return sum;
}

/* Touches all pages of the slot, so that they are pinned now at the latest. */
static void touch_all(struct vcpu *vcpu)
{
	struct kvm_regs regs;
	uint64_t offset;

	for (offset = 0; offset < SLOT_BYTES; offset += PAGE_BYTES) {
		vcpu_get_regs(vcpu, &regs);
		regs.rip = GUEST_CODE;
		regs.rsi = SLOT_GPA + offset;
		vcpu_set_regs(vcpu, &regs);
		peek(vcpu);
	}
}

#define SLOT_KIB ((long)(SLOT_BYTES / 1024))

TEST_F(memory, charge_is_exact_at_every_step)
{
	uint8_t *half = host_alloc(SLOT_BYTES);
	long before;

	if (!device_is_vregcache())
		SKIP(return, "%s pins no memory", device_path());
	munmap(half + SLOT_BYTES / 2, SLOT_BYTES / 2);
	before = charged_kib();
	EXPECT_EQ((long)GUEST_MEM_SIZE / 1024, before);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(before + SLOT_KIB, charged_kib());
	/* A failed request charges nothing, however far it got. */
	EXPECT_EQ(-EEXIST, vm_set_slot(&self->vm, 2, 0, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES / 2, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, KVM_MEM_READONLY, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 2, KVM_MEM_LOG_DIRTY_PAGES, 2 * SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 2, 0, 1UL << 48, SLOT_BYTES, self->block));
	EXPECT_EQ(-EFAULT, vm_set_slot(&self->vm, 2, 0, 2 * SLOT_GPA, SLOT_BYTES, half));
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 2, KVM_MEM_READONLY, 2 * SLOT_GPA, SLOT_BYTES, self->block));
	/* More memory than there is, from an address with so much above it, wherever the block is. */
	EXPECT_EQ(-ENOMEM, vm_set_slot(&self->vm, 2, 0, 2 * SLOT_GPA, 1UL << 38, (void *)SLOT_BYTES));
	EXPECT_EQ(before + SLOT_KIB, charged_kib());
	/* A move pins nothing again; the same memory in a second slot is charged twice. */
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, 4 * SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(before + SLOT_KIB, charged_kib());
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, SLOT_GPA, SLOT_BYTES, self->block));
	EXPECT_EQ(before + 2 * SLOT_KIB, charged_kib());
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, 0, 0, NULL));
	EXPECT_EQ(before + SLOT_KIB, charged_kib());
	EXPECT_EQ(-EINVAL, vm_set_slot(&self->vm, 1, 0, 0, 0, NULL));
	EXPECT_EQ(before + SLOT_KIB, charged_kib());
	/* Slot 2 is deleted with the virtual machine. */
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	EXPECT_EQ(0, charged_kib());
	munmap(half, SLOT_BYTES / 2);
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
}

TEST_F(memory, inaccessible_memory_is_refused)
{
	if (!device_is_vregcache())
		SKIP(return, "%s looks up pages on demand", device_path());
	mprotect(self->block + PAGE_BYTES, PAGE_BYTES, PROT_READ);
	EXPECT_EQ(-EFAULT, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
	mprotect(self->block + PAGE_BYTES, PAGE_BYTES, PROT_NONE);
	EXPECT_EQ(-EFAULT, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
}

/* Returns the number of the child's check that failed, or 0. */
static int use_up_the_limit(void)
{
	struct rlimit limit = { .rlim_cur = 3 * SLOT_BYTES, .rlim_max = 3 * SLOT_BYTES };
	uint8_t *block = host_alloc(4 * SLOT_BYTES);
	int device = device_open();
	struct vm vm = { .dev = device };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return 1;
	/* The device can no longer be opened, but the open file works. */
	if (open(device_path(), O_RDWR) >= 0 || errno != EACCES)
		return 2;
	vm.fd = ioctl(device, KVM_CREATE_VM, 0UL);
	if (vm.fd < 0)
		return 3;
	if (vm_set_slot(&vm, 0, 0, 0, 4 * SLOT_BYTES, block) != -ENOMEM || charged_kib())
		return 4;
	if (vm_set_slot(&vm, 0, 0, 0, 3 * SLOT_BYTES, block) || charged_kib() != 3 * SLOT_KIB)
		return 5;
	if (vm_set_slot(&vm, 1, 0, SLOT_GPA, PAGE_BYTES, block) != -ENOMEM || charged_kib() != 3 * SLOT_KIB)
		return 6;
	if (vm_set_slot(&vm, 0, 0, 0, 0, NULL) || charged_kib())
		return 7;
	for (uint32_t slot = 0; slot < 3; slot++) {
		if (vm_set_slot(&vm, slot, 0, slot * SLOT_GPA, SLOT_BYTES, block))
			return 8;
	}
	if (vm_set_slot(&vm, 3, 0, 3 * SLOT_GPA, PAGE_BYTES, block) != -ENOMEM)
		return 9;
	/* The limit is per process: a second virtual machine shares it. */
	vm.fd = ioctl(device, KVM_CREATE_VM, 0UL);
	if (vm.fd < 0 || vm_set_slot(&vm, 0, 0, 0, PAGE_BYTES, block) != -ENOMEM)
		return 10;
	return charged_kib() == 3 * SLOT_KIB ? 0 : 11;
}

TEST_F(memory, memlock_limit_applies_without_privilege)
{
	pid_t child;
	int status;

	if (!device_is_vregcache())
		SKIP(return, "%s pins no memory", device_path());
	child = fork();
	if (!child)
		_exit(use_up_the_limit());
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* A child inherits the files and the memory's contents, but the virtual machine and its memory stay the parent's. */
TEST_F(memory, fork_shares_neither_vm_nor_charge)
{
	long before = charged_kib();
	pid_t child;
	int status;

	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
	*(uint64_t *)self->block = 0x1111;
	EXPECT_EQ(0x1111U, peek(&self->vcpu));
	child = fork();
	if (!child) {
		*(uint64_t *)self->block = 0x2222;
		if (device_is_vregcache() && charged_kib())
			_exit(1);
		if (vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL) != -EIO ||
		    ioctl_errno(self->vcpu.fd, KVM_RUN, 0) != -EIO)
			_exit(2);
		_exit(0);
	}
	/* While both have the pages, the parent's writes must not separate its pages from the guest's. */
	*(uint64_t *)self->block = 0x3333;
	EXPECT_EQ(0x3333U, peek(&self->vcpu));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0x3333U, peek(&self->vcpu));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
	EXPECT_EQ(before, charged_kib());
}

TEST_F(memory, pinned_pages_are_charged_and_released)
{
	long before, with_slot;

	if (!device_is_vregcache())
		SKIP(return, "%s pins no memory", device_path());
	before = charged_kib();
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, SLOT_BYTES, self->block));
	touch_all(&self->vcpu);
	with_slot = charged_kib();
	EXPECT_EQ(with_slot, before + (long)(SLOT_BYTES / 1024));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 0, NULL));
	EXPECT_EQ(before, charged_kib());
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	EXPECT_EQ(0, charged_kib());
	/* For the teardown. */
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
}

TEST_HARNESS_MAIN
