// SPDX-License-Identifier: GPL-2.0
/* The three kinds of files and what each of them returns. */
#include "lib/harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "lib/modes.h"
#include "lib/vm.h"

/* No KVM ioctl has this number. */
#define UNKNOWN_IOCTL _IO(KVMIO, 0xfe)

FIXTURE(files) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(files)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
}

FIXTURE_TEARDOWN(files)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

TEST_F(files, api_version_is_12)
{
	EXPECT_EQ(12, ioctl_errno(self->vm.dev, KVM_GET_API_VERSION, 0));
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vm.dev, KVM_GET_API_VERSION, 1));
}

TEST_F(files, mmap_size_holds_kvm_run_and_the_io_page)
{
	long size = ioctl_errno(self->vm.dev, KVM_GET_VCPU_MMAP_SIZE, 0);

	EXPECT_GE(size, (long)(2 * PAGE_BYTES));
	EXPECT_EQ(0, size % (long)PAGE_BYTES);
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vm.dev, KVM_GET_VCPU_MMAP_SIZE, 1));
}

static long extension(int fd, unsigned long number)
{
	return ioctl_errno(fd, KVM_CHECK_EXTENSION, number);
}

TEST_F(files, extensions_say_what_there_is)
{
	int dev = self->vm.dev;

	EXPECT_EQ(1, extension(dev, KVM_CAP_USER_MEMORY));
	EXPECT_EQ(1, extension(dev, KVM_CAP_EXT_CPUID));
	EXPECT_EQ(1, extension(dev, KVM_CAP_DESTROY_MEMORY_REGION_WORKS));
	EXPECT_EQ(1, extension(dev, KVM_CAP_IMMEDIATE_EXIT));
	EXPECT_EQ(1, extension(dev, KVM_CAP_SET_TSS_ADDR));
	EXPECT_EQ(1, extension(dev, KVM_CAP_CHECK_EXTENSION_VM));
	EXPECT_GE(extension(dev, KVM_CAP_NR_VCPUS), 1);
	EXPECT_GE(extension(dev, KVM_CAP_MAX_VCPUS), extension(dev, KVM_CAP_NR_VCPUS));
	EXPECT_GE(extension(dev, KVM_CAP_NR_MEMSLOTS), 2);
	/* A write to such a slot would have to become an exit to userspace, and there are no MMIO exits yet. */
	EXPECT_EQ(!device_is_vregcache(), extension(dev, KVM_CAP_READONLY_MEM));
	EXPECT_EQ(0, extension(dev, 0x7fffffff));
	EXPECT_EQ(0, extension(dev, ~0UL));
}

TEST_F(files, extensions_of_a_vm_are_those_of_the_device)
{
	static const unsigned long numbers[] = {
		KVM_CAP_USER_MEMORY, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_MAX_VCPUS, KVM_CAP_NR_MEMSLOTS, KVM_CAP_READONLY_MEM,
		0x7fffffff,
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		EXPECT_EQ(extension(self->vm.dev, numbers[i]), extension(self->vm.fd, numbers[i]));
	}
}

TEST_F(files, vregcache_offers_no_interrupt_controller)
{
	struct kvm_irq_level level = { .irq = 1, .level = 1 };
	long error;

	if (!device_is_vregcache())
		SKIP(return, "%s has one", device_path());
	EXPECT_EQ(0, extension(self->vm.dev, KVM_CAP_IRQCHIP));
	error = ioctl_errno(self->vm.fd, KVM_CREATE_IRQCHIP, 0);
	EXPECT_TRUE(error == -ENOTTY || error == -EINVAL)
		TH_LOG("%ld", error);
	error = ioctl_ptr(self->vm.fd, KVM_IRQ_LINE, &level);
	EXPECT_TRUE(error == -ENOTTY || error == -EINVAL)
		TH_LOG("%ld", error);
}

/* KVM's device and vCPU files return EINVAL for unknown ioctls. */
static int is_refusal(long error)
{
	return error == -ENOTTY || (error == -EINVAL && !device_is_vregcache());
}

TEST_F(files, unknown_ioctls_are_refused_by_each_kind_of_file)
{
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vm.dev, UNKNOWN_IOCTL, 0)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vm.fd, UNKNOWN_IOCTL, 0)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vcpu.fd, UNKNOWN_IOCTL, 0)));
}

TEST_F(files, vm_type_other_than_0_is_refused)
{
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vm.dev, KVM_CREATE_VM, 1));
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vm.dev, KVM_CREATE_VM, ~0UL));
}

TEST_F(files, ioctls_of_one_kind_fail_on_the_others)
{
	struct kvm_userspace_memory_region region = { .slot = 5, .memory_size = 0 };
	struct kvm_regs regs;

	EXPECT_TRUE(is_refusal(ioctl_ptr(self->vm.dev, KVM_GET_REGS, &regs)));
	EXPECT_TRUE(is_refusal(ioctl_ptr(self->vm.fd, KVM_GET_REGS, &regs)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vm.dev, KVM_RUN, 0)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vm.fd, KVM_RUN, 0)));
	EXPECT_TRUE(is_refusal(ioctl_ptr(self->vcpu.fd, KVM_SET_USER_MEMORY_REGION, &region)));
	EXPECT_TRUE(is_refusal(ioctl_ptr(self->vm.dev, KVM_SET_USER_MEMORY_REGION, &region)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vcpu.fd, KVM_CREATE_VCPU, 1)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vm.fd, KVM_CREATE_VM, 0)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vcpu.fd, KVM_CREATE_VM, 0)));
	EXPECT_TRUE(is_refusal(ioctl_errno(self->vm.fd, KVM_GET_API_VERSION, 0)));
}

TEST_F(files, vm_and_vcpu_files_close_on_exec)
{
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->vm.fd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->vcpu.fd, F_GETFD));
}

TEST_F(files, vcpu_ids_have_a_limit)
{
	long limit = extension(self->vm.dev, KVM_CAP_MAX_VCPU_ID);

	if (limit <= 0)
		limit = extension(self->vm.dev, KVM_CAP_MAX_VCPUS);
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, limit));
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, 0x7fffffff));
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, 0xffffffff));
}

TEST_F(files, vcpu_id_can_be_used_once)
{
	long second;

	EXPECT_EQ(-EEXIST, ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, 0));
	second = ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, 1);
	ASSERT_GE(second, 0);
	EXPECT_EQ(-EEXIST, ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, 1));
	/* A vCPU lives as long as its virtual machine, even if its file is closed. */
	close(second);
	EXPECT_EQ(-EEXIST, ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, 1));
}

/* Returns 1 if the mapping is refused, or if touching it kills the process. */
static int mapping_is_useless(int fd, size_t bytes, off_t offset)
{
	volatile char *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	int status;
	pid_t child;

	if (mapping == MAP_FAILED)
		return 1;
	child = fork();
	if (child == 0) {
		/* The mapping is shared, so the child sees what the parent would. */
		signal(SIGBUS, SIG_DFL);
		mapping[bytes - 1];
		_exit(0);
	}
	waitpid(child, &status, 0);
	munmap((void *)mapping, bytes);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

TEST_F(files, only_the_vcpu_area_can_be_mapped)
{
	size_t size = self->vcpu.run_size;

	EXPECT_FALSE(mapping_is_useless(self->vcpu.fd, PAGE_BYTES, 0));
	EXPECT_TRUE(mapping_is_useless(self->vcpu.fd, PAGE_BYTES, 64 * PAGE_BYTES));
	EXPECT_TRUE(mapping_is_useless(self->vcpu.fd, PAGE_BYTES, 1L << 40));
	EXPECT_TRUE(mapping_is_useless(self->vcpu.fd, size + 64 * PAGE_BYTES, 0));
	EXPECT_TRUE(mapping_is_useless(self->vm.fd, PAGE_BYTES, 0));
	EXPECT_TRUE(mapping_is_useless(self->vm.dev, PAGE_BYTES, 0));
}

TEST_F(files, two_mappings_of_a_vcpu_are_the_same_memory)
{
	struct kvm_run *again = mmap(NULL, self->vcpu.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, self->vcpu.fd, 0);

	ASSERT_NE(MAP_FAILED, again);
	again->immediate_exit = 1;
	EXPECT_EQ(1, *(volatile __u8 *)&self->vcpu.run->immediate_exit);
	munmap(again, self->vcpu.run_size);
}

TEST_F(files, read_and_write_are_not_offered)
{
	char byte = 0;

	EXPECT_EQ(-1, read(self->vm.dev, &byte, 1));
	EXPECT_EQ(-1, write(self->vm.dev, &byte, 1));
	EXPECT_EQ(-1, read(self->vm.fd, &byte, 1));
	EXPECT_EQ(-1, write(self->vcpu.fd, &byte, 1));
}

TEST_F(files, addresses_of_tss_and_identity_map_are_taken)
{
	__u64 identity = 0xfffbc000;
	struct vm bare;

	/* The identity map's address must be set before the first vCPU exists. */
	vm_create_bare(&bare);
	EXPECT_EQ(0, ioctl_ptr(bare.fd, KVM_SET_IDENTITY_MAP_ADDR, &identity));
	EXPECT_EQ(0, ioctl_errno(bare.fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	vm_destroy(&bare);
}

TEST_F(files, mp_state_is_runnable_and_nothing_else)
{
	struct kvm_mp_state state = { .mp_state = ~0U };

	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_MP_STATE, &state));
	EXPECT_EQ((unsigned int)KVM_MP_STATE_RUNNABLE, state.mp_state);
	EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_MP_STATE, &state));
	state.mp_state = KVM_MP_STATE_INIT_RECEIVED;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_MP_STATE, &state));
	state.mp_state = ~0U;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_MP_STATE, &state));
}

#define NOBODY 65534

TEST(only_root_opens_the_device)
{
	int fd = device_open();
	struct stat status;
	int result;
	pid_t child;

	ASSERT_EQ(0, fstat(fd, &status));
	EXPECT_TRUE(S_ISCHR(status.st_mode));
	if (!device_is_vregcache())
		SKIP(close(fd); return, "%s has a mode of its own", device_path());
	EXPECT_EQ(0600U, status.st_mode & 07777);
	EXPECT_EQ(0U, status.st_uid);
	close(fd);

	child = fork();
	if (child == 0) {
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(1);
		_exit(open(device_path(), O_RDWR) < 0 ? errno : 0);
	}
	ASSERT_EQ(child, waitpid(child, &result, 0));
	ASSERT_TRUE(WIFEXITED(result));
	EXPECT_EQ(EACCES, WEXITSTATUS(result));
}

TEST_HARNESS_MAIN
