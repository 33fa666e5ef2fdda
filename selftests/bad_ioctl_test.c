// SPDX-License-Identifier: GPL-2.0
/* Attacks: bad pointers, bad counts, races, and plain garbage. */
#include "lib/harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "lib/modes.h"
#include "lib/random.h"
#include "lib/vm.h"

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

GUEST_ASM(spin, 64,
	"	sti\n"
	"1:	incl 0x20000\n"
	"	jmp 1b\n");

FIXTURE(bad) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(bad)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, out);
}

FIXTURE_TEARDOWN(bad)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static const unsigned long vcpu_ioctls[] = {
	KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_GET_MSRS,
	KVM_SET_MSRS, KVM_GET_FPU, KVM_SET_FPU, KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_GET_DEBUGREGS,
	KVM_SET_DEBUGREGS, KVM_GET_XCRS, KVM_SET_XCRS,
};

#define VCPU_IOCTLS (sizeof(vcpu_ioctls) / sizeof(vcpu_ioctls[0]))

TEST_F(bad, pointers_to_nothing_are_efault)
{
	uint8_t *hole = host_alloc(PAGE_BYTES);
	unsigned long pointers[3] = { 0, 0, 0xffff888000000000 };
	struct vm bare;

	munmap(hole, PAGE_BYTES);
	/* The identity map can still be moved, because there is no vCPU. */
	vm_create_bare(&bare);
	pointers[1] = (unsigned long)hole;
	for (int p = 0; p < 3; p++) {
		for (size_t i = 0; i < VCPU_IOCTLS; i++) {
			EXPECT_EQ(-EFAULT, ioctl_errno(self->vcpu.fd, vcpu_ioctls[i], pointers[p]))
				TH_LOG("ioctl %zu, pointer %#lx", i, pointers[p]);
		}
		EXPECT_EQ(-EFAULT, ioctl_errno(self->vm.fd, KVM_SET_USER_MEMORY_REGION, pointers[p]));
		EXPECT_EQ(-EFAULT, ioctl_errno(bare.fd, KVM_SET_IDENTITY_MAP_ADDR, pointers[p]));
		EXPECT_EQ(-EFAULT, ioctl_errno(self->vm.dev, KVM_GET_SUPPORTED_CPUID, pointers[p]));
		EXPECT_EQ(-EFAULT, ioctl_errno(self->vm.dev, KVM_GET_MSR_INDEX_LIST, pointers[p]));
	}
	vm_destroy(&bare);
}

TEST_F(bad, structures_that_cross_into_nothing_are_efault)
{
	uint8_t *pages = host_alloc(2 * PAGE_BYTES);
	/* The last 16 bytes that are mapped. */
	uint8_t *edge = pages + PAGE_BYTES - 16;

	munmap(pages + PAGE_BYTES, PAGE_BYTES);
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_GET_REGS, edge));
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_SET_REGS, edge));
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_GET_SREGS, edge));
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, edge));
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vm.fd, KVM_SET_USER_MEMORY_REGION, edge));
	/* Complete headers with incomplete entries. */
	*(uint32_t *)edge = 10;
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_GET_MSRS, edge));
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_SET_MSRS, edge));
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_SET_CPUID2, edge));
	munmap(pages, PAGE_BYTES);
}

TEST_F(bad, counts_beyond_all_bounds_are_e2big)
{
	uint32_t *counts = host_alloc(PAGE_BYTES);

	counts[0] = 0xffffffff;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_SET_CPUID2, counts));
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_GET_MSRS, counts));
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_SET_MSRS, counts));
	counts[0] = 0x10000001;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_GET_MSRS, counts));
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_SET_MSRS, counts));
	munmap(counts, PAGE_BYTES);
}

TEST_F(bad, run_takes_no_argument)
{
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vcpu.fd, KVM_RUN, 1));
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vcpu.fd, KVM_RUN, ~0UL));
}

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

TEST_F(bad, kvm_run_that_changes_while_it_is_used)
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

TEST_F(bad, two_threads_on_one_vcpu_take_turns)
{
	void *result = NULL;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, run_and_get, &self->vcpu));
	EXPECT_EQ(NULL, run_and_get(&self->vcpu));
	pthread_join(thread, &result);
	EXPECT_EQ(NULL, result);
}

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

TEST_F(bad, closing_the_machine_while_its_vcpu_runs)
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

TEST_F(bad, child_of_fork_cannot_use_the_machine)
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

TEST_F(bad, duplicated_files_are_the_same_vcpu)
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

TEST_F(bad, mapping_outlives_its_file)
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

/* Not RUN, which may run a guest forever, and nothing that creates files. */
static int is_harmless(unsigned int number)
{
	return number != _IOC_NR(KVM_RUN) && number != _IOC_NR(KVM_CREATE_VM) && number != _IOC_NR(KVM_CREATE_VCPU) &&
	       number != _IOC_NR(KVM_CREATE_DEVICE) && number != _IOC_NR(KVM_GET_STATS_FD);
}

#define GARBAGE 10000

TEST_F(bad, random_ioctls_with_random_arguments)
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

TEST_HARNESS_MAIN
