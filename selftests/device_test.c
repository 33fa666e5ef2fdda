// SPDX-License-Identifier: GPL-2.0
/* The three kinds of files: their ioctls and mappings, and several tasks that use them. */
#include "lib/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "lib/modes.h"
#include "lib/random.h"
#include "lib/vm.h"

/* No KVM ioctl has this number. */
#define UNKNOWN_IOCTL _IO(KVMIO, 0xfe)

GUEST_ASM(out, 64,
	"	mov $0x1020, %edx\n"
	"	cld\n"
	"1:	outl %eax, $" GUEST_STRING(PORT_TEST) "\n"
	"	inl $" GUEST_STRING(PORT_TEST) ", %eax\n"
	"	mov $0x40000, %esi\n"
	"	mov $100, %ecx\n"
	"	rep outsb\n"
	"	mov $0x42000, %edi\n"
	"	mov $100, %ecx\n"
	"	rep insb\n"
	"	jmp 1b\n");

FIXTURE(files) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(files)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, out);
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

TEST_F(files, extensions_report_the_offered_features)
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

TEST_F(files, vm_reports_the_extensions_of_the_device)
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
		SKIP(return, "%s has an interrupt controller", device_path());
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

TEST_F(files, each_file_refuses_unknown_ioctls)
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

TEST_F(files, each_file_refuses_the_ioctls_of_the_others)
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

TEST_F(files, addresses_of_tss_and_identity_map_are_accepted)
{
	__u64 identity = 0xfffbc000;
	struct vm bare;

	/* The identity map's address must be set before the first vCPU exists. */
	vm_create_bare(&bare);
	EXPECT_EQ(0, ioctl_ptr(bare.fd, KVM_SET_IDENTITY_MAP_ADDR, &identity));
	EXPECT_EQ(0, ioctl_errno(bare.fd, KVM_SET_TSS_ADDR, 0xfffbd000));
	EXPECT_EQ(0, ioctl_errno(bare.fd, KVM_SET_TSS_ADDR, 0xffffd000));
	EXPECT_EQ(-EINVAL, ioctl_errno(bare.fd, KVM_SET_TSS_ADDR, 0xffffd001));
	vm_destroy(&bare);
}

TEST_F(files, mp_state_is_always_runnable)
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

/* ---- a vCPU that several tasks use ---- */

struct scribbler {
	struct vcpu *vcpu;
	volatile int stop;
};

/* Overwrites all of kvm_run and its I/O page, except immediate_exit, again and again. */
static void *scribble(void *argument)
{
	struct scribbler *scribbler = argument;
	struct kvm_run *run = scribbler->vcpu->run;
	volatile uint8_t *bytes = (uint8_t *)run;
	size_t size = scribbler->vcpu->run_size;

	while (!scribbler->stop) {
		run->io.count = random64();
		run->io.data_offset = random64();
		run->io.size = random64();
		run->io.direction = random64();
		bytes[sizeof(run->request_interrupt_window) + 1 + random_below(size - 2)] = random64();
		run->immediate_exit = 0;
	}
	return NULL;
}

TEST_F(files, concurrent_writes_to_kvm_run_are_harmless)
{
	struct scribbler scribbler = { .vcpu = &self->vcpu };
	pthread_t thread;
	long error;

	random_start();
	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &scribbler));
	for (int turn = 0; turn < 1500; turn++) {
		error = ioctl_errno(self->vcpu.fd, KVM_RUN, 0);
		ASSERT_TRUE(error == 0 || error == -EINTR || error == -EINVAL)
			TH_LOG("%ld", error);
	}
	scribbler.stop = 1;
	pthread_join(thread, NULL);
	/* Memory that the guest did not fill is unchanged: nothing was written elsewhere. */
	EXPECT_EQ(0U, vm_read64(&self->vm, GUEST_FREE + 0x2000 + 4096));
	EXPECT_EQ(0U, vm_read64(&self->vm, GUEST_FREE + 0x2000 - 8));
}

static void *run_and_get(void *argument)
{
	const uint64_t bytes = guest_out_end - guest_out;
	struct vcpu *vcpu = argument;
	struct kvm_regs regs;

	for (int turn = 0; turn < 300; turn++) {
		if (ioctl(vcpu->fd, KVM_RUN, 0UL) && errno != EINTR)
			return (void *)1;
		if (ioctl(vcpu->fd, KVM_GET_REGS, &regs))
			return (void *)2;
		/* The guest never leaves its loop. */
		if (regs.rip < GUEST_CODE || regs.rip > GUEST_CODE + bytes)
			return (void *)3;
	}
	return NULL;
}

TEST_F(files, two_threads_may_run_one_vcpu)
{
	void *result = NULL;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, run_and_get, &self->vcpu));
	EXPECT_EQ(NULL, run_and_get(&self->vcpu));
	pthread_join(thread, &result);
	EXPECT_EQ(NULL, result);
}

GUEST_ASM(spin, 64,
	"	sti\n"
	"1:	incl 0x20000\n"
	"	jmp 1b\n");

static void on_signal(int signal)
{
	(void)signal;
}

struct runner {
	struct vcpu *vcpu;
	volatile int done;
	volatile long error;
};

static void *run_until_signal(void *argument)
{
	struct runner *runner = argument;

	runner->error = ioctl_errno(runner->vcpu->fd, KVM_RUN, 0);
	runner->done = 1;
	return NULL;
}

TEST_F(files, vcpu_runs_on_after_its_vm_file_is_closed)
{
	volatile uint32_t *counter = vm_at(&self->vm, GUEST_DATA);
	struct sigaction action = { .sa_handler = on_signal };
	struct runner runner = { .vcpu = &self->vcpu };
	uint32_t seen;
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	vm_load(&self->vm, GUEST_CODE, spin);
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_until_signal, &runner));
	while (*counter < 100)
		usleep(1000);
	close(self->vm.fd);
	close(self->vm.dev);
	seen = *counter;
	for (int wait = 0; wait < 1000 && *counter < seen + 100; wait++)
		usleep(1000);
	EXPECT_GE(*counter, seen + 100);
	while (!runner.done) {
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(-EINTR, runner.error);
	self->vm.fd = -1;
	self->vm.dev = -1;
}

TEST_F(files, forked_child_cannot_use_the_vm)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct kvm_regs regs;
		int failures = 0;

		failures += ioctl_errno(self->vcpu.fd, KVM_RUN, 0) != -EIO;
		failures += ioctl_ptr(self->vcpu.fd, KVM_GET_REGS, &regs) != -EIO;
		failures += ioctl_errno(self->vm.fd, KVM_CREATE_VCPU, 7) != -EIO;
		failures += vm_set_slot(&self->vm, 3, 0, 0x1000000, PAGE_BYTES, self->vm.mem) != -EIO;
		_exit(failures);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
}

TEST_F(files, duplicated_file_is_the_same_vcpu)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rax = 0x1357 };
	int copy = dup(self->vcpu.fd);

	ASSERT_GE(copy, 0);
	vcpu_set_regs(&self->vcpu, &regs);
	close(self->vcpu.fd);
	self->vcpu.fd = copy;
	EXPECT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(0x1357U, *(uint32_t *)vcpu_io_data(&self->vcpu));
}

TEST_F(files, mapping_outlives_its_file)
{
	close(self->vcpu.fd);
	self->vcpu.run->immediate_exit = 1;
	EXPECT_EQ(1, self->vcpu.run->immediate_exit);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, self->vcpu.fd, 0));
	EXPECT_EQ(EBADF, errno);
	close(self->vm.fd);
	self->vcpu.run->request_interrupt_window = 1;
	EXPECT_EQ(1, self->vcpu.run->request_interrupt_window);
	self->vcpu.fd = -1;
	self->vm.fd = -1;
}

/* ---- random ioctls ---- */

static const unsigned long vcpu_ioctls[] = {
	KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_GET_MSRS,
	KVM_SET_MSRS, KVM_GET_FPU, KVM_SET_FPU, KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_GET_DEBUGREGS,
	KVM_SET_DEBUGREGS, KVM_GET_XCRS, KVM_SET_XCRS,
};

#define VCPU_IOCTLS (sizeof(vcpu_ioctls) / sizeof(vcpu_ioctls[0]))

/* Not RUN, which may run a guest forever, and nothing that creates files. */
static int is_harmless(unsigned int number)
{
	return number != _IOC_NR(KVM_RUN) && number != _IOC_NR(KVM_CREATE_VM) && number != _IOC_NR(KVM_CREATE_VCPU) &&
	       number != _IOC_NR(KVM_CREATE_DEVICE) && number != _IOC_NR(KVM_GET_STATS_FD);
}

#define GARBAGE 10000

TEST_F(files, random_ioctls_are_harmless)
{
	uint8_t *buffer = host_alloc(16 * PAGE_BYTES);
	int files[3] = { self->vm.dev, self->vm.fd, self->vcpu.fd };
	struct vm healthy;
	struct vcpu vcpu;

	random_start();
	for (int kind = 0; kind < 3; kind++) {
		for (int i = 0; i < GARBAGE; i++) {
			/* Mostly valid numbers, with sizes that may or may not be valid. */
			unsigned int number = random_below(256);
			unsigned long request = _IOC(random_below(4), KVMIO, number, random_below(512));
			unsigned long arg = random64();

			if (random_below(4) == 0)
				request = vcpu_ioctls[random_below(VCPU_IOCTLS)];
			number = _IOC_NR(request);
			if (!is_harmless(number))
				continue;
			if (random_below(2)) {
				/* With a small count at the start, the rest is read too. */
				memset(buffer, random64(), 256);
				*(uint64_t *)buffer = random64() >> random_below(64);
				arg = (unsigned long)buffer + random_below(64);
			}
			ioctl(files[kind], request, arg);
		}
	}
	munmap(buffer, 16 * PAGE_BYTES);

	/* Another virtual machine is not affected. */
	vm_create(&healthy, GUEST_MEM_SIZE);
	vcpu_create(&vcpu, &healthy, 0);
	vcpu_enter_long(&vcpu);
	vm_load(&healthy, GUEST_CODE, out);
	EXPECT_EQ(KVM_EXIT_IO, vcpu_run(&vcpu));
	vcpu_destroy(&vcpu);
	vm_destroy(&healthy);
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
