// SPDX-License-Identifier: GPL-2.0
/* perf samples guests: their RIP and mode while perf_guest is on, and nothing of them while it is off. */
#define _GNU_SOURCE
#include "lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/perf_event.h>

#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "lib/vm.h"

#define PARAMETER	"/sys/module/vregcache/parameters/perf_guest"
#define RING_PAGES	64
#define PERIOD_NS	500000
#define PERIOD_CYCLES	100000
/* The most samples that a test takes. */
#define SAMPLE_LIMIT	(RING_PAGES * PAGE_BYTES / 16)
#define SAMPLE_US	400000

GUEST_ASM(spin, 64,
	"1:	inc %rax\n"
	"	inc %rbx\n"
	"	jmp 1b\n");

struct sample {
	uint16_t mode; /* PERF_RECORD_MISC_* */
	uint64_t ip;
};

FIXTURE(pmi) {
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	pid_t tid;
	int stop;
	int ended;
	struct sample *samples;
	size_t count;
};

static void on_kick(int signal)
{
	(void)signal;
}

/* 0 or -errno. */
static int set_perf_guest(const char *value)
{
	int fd = open(PARAMETER, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		die("%s", PARAMETER);
	if (write(fd, value, strlen(value)) < 0)
		error = -errno;
	close(fd);
	return error;
}

static int perf_guest_is_on(void)
{
	char value = 0;
	int fd = open(PARAMETER, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &value, 1) != 1)
		die("%s", PARAMETER);
	close(fd);
	return value == 'Y';
}

FIXTURE_SETUP(pmi)
{
	struct sigaction action = { .sa_handler = on_kick };
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED | RFLAGS_IF };

	if (!device_is_vregcache())
		SKIP(return, "%s has no such parameter", device_path());
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, spin);
	vcpu_set_regs(&self->vcpu, &regs);
	sigaction(SIGUSR1, &action, NULL);
	self->stop = 0;
	self->ended = KVM_EXIT_INTR;
	self->samples = calloc(SAMPLE_LIMIT, sizeof(*self->samples));
	self->count = 0;
}

FIXTURE_TEARDOWN(pmi)
{
	set_perf_guest("0");
	free(self->samples);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static void *run_guest(void *argument)
{
	struct _test_data_pmi *self = argument;

	if (pin_to_cpu(0))
		die("CPU 0");
	__atomic_store_n(&self->tid, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		self->ended = vcpu_run(&self->vcpu);
		if (self->ended != KVM_EXIT_INTR)
			break;
	}
	return NULL;
}

/* From here on the guest runs at privilege level 3. */
static void make_user(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs.selector = SEL_USER_CODE64 | 3;
	sregs.cs.dpl = 3;
	sregs.ss.selector = SEL_USER_DATA | 3;
	sregs.ss.dpl = 3;
	vcpu_set_sregs(vcpu, &sregs);
}

static int open_event(pid_t tid, uint32_t type, uint64_t config, uint64_t period)
{
	struct perf_event_attr attr = {
		.type = type,
		.config = config,
		.size = sizeof(attr),
		.sample_period = period,
		.sample_type = PERF_SAMPLE_IP,
		.disabled = 1,
	};

	return syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void read_ring(struct _test_data_pmi *self, struct perf_event_mmap_page *page)
{
	const uint8_t *data = (const uint8_t *)page + PAGE_BYTES;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t at;

	/* A record is a multiple of 8 bytes, so each word is in one piece. */
#define WORD(offset) (*(const uint64_t *)(data + ((offset) & (RING_PAGES * PAGE_BYTES - 1))))
	for (at = 0; at < head;) {
		uint64_t header = WORD(at);
		struct perf_event_header record;

		memcpy(&record, &header, sizeof(record));
		if (record.type == PERF_RECORD_SAMPLE && self->count < SAMPLE_LIMIT)
			self->samples[self->count++] = (struct sample) {
				.mode = record.misc & PERF_RECORD_MISC_CPUMODE_MASK,
				.ip = WORD(at + 8),
			};
		at += record.size;
	}
}

/* Samples the running guest. Returns -errno if there is no such event. */
static int sample(struct _test_data_pmi *self, uint32_t type, uint64_t config, uint64_t period)
{
	struct perf_event_mmap_page *page;
	int event;

	self->stop = 0;
	self->tid = 0;
	self->count = 0;
	self->vcpu.run->immediate_exit = 0;
	if (pthread_create(&self->thread, NULL, run_guest, self))
		die("thread");
	while (!__atomic_load_n(&self->tid, __ATOMIC_ACQUIRE))
		usleep(1000);
	event = open_event(self->tid, type, config, period);
	if (event >= 0) {
		page = mmap(NULL, (1 + RING_PAGES) * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, event, 0);
		if (page == MAP_FAILED)
			die("ring");
		ioctl(event, PERF_EVENT_IOC_ENABLE, 0);
		usleep(SAMPLE_US);
		ioctl(event, PERF_EVENT_IOC_DISABLE, 0);
		read_ring(self, page);
		munmap(page, (1 + RING_PAGES) * PAGE_BYTES);
		close(event);
	} else {
		event = -errno;
	}
	__atomic_store_n(&self->stop, 1, __ATOMIC_RELEASE);
	self->vcpu.run->immediate_exit = 1;
	pthread_kill(self->thread, SIGUSR1);
	pthread_join(self->thread, NULL);
	if (self->ended != KVM_EXIT_INTR)
		die("the guest stopped with exit %d", self->ended);
	return event < 0 ? event : 0;
}

static int sample_clock(struct _test_data_pmi *self)
{
	return sample(self, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, PERIOD_NS);
}

static size_t count_mode(const struct _test_data_pmi *self, uint16_t mode)
{
	size_t found = 0;

	for (size_t i = 0; i < self->count; i++)
		found += self->samples[i].mode == mode;
	return found;
}

static int in_loop(uint64_t ip)
{
	return ip >= GUEST_CODE && ip < GUEST_CODE + (uint64_t)(guest_spin_end - guest_spin);
}

/* Samples whose address does not fit their mode. Nothing of this process is at the address of the guest's loop. */
static size_t count_false(const struct _test_data_pmi *self)
{
	size_t found = 0;

	for (size_t i = 0; i < self->count; i++) {
		uint64_t ip = self->samples[i].ip;
		int right = 0;

		switch (self->samples[i].mode) {
		case PERF_RECORD_MISC_GUEST_KERNEL:
		case PERF_RECORD_MISC_GUEST_USER:
			right = in_loop(ip);
			break;
		case PERF_RECORD_MISC_KERNEL:
			right = ip >> 47 == 0x1ffff;
			break;
		case PERF_RECORD_MISC_USER:
			right = !in_loop(ip) && !(ip >> 47);
			break;
		}
		if (!right)
			fprintf(stderr, "# mode %u, address %#llx\n", self->samples[i].mode, (unsigned long long)ip);
		found += !right;
	}
	return found;
}

static size_t count_host_ip(const struct _test_data_pmi *self, uint64_t ip)
{
	size_t found = 0;

	for (size_t i = 0; i < self->count; i++)
		found += self->samples[i].mode == PERF_RECORD_MISC_KERNEL && self->samples[i].ip == ip;
	return found;
}

/* Where the host takes interrupts that ended the guest's run: most samples without perf_guest are there. */
static uint64_t busiest_host_ip(const struct _test_data_pmi *self)
{
	uint64_t busiest = 0;
	size_t most = 0;

	for (size_t i = 0; i < self->count && most <= self->count / 2; i++) {
		size_t here = count_host_ip(self, self->samples[i].ip);

		if (here > most) {
			most = here;
			busiest = self->samples[i].ip;
		}
	}
	return busiest;
}

#define EXPECT_SAMPLES_OF_GUEST(mode_of_guest, other_mode) do {						\
	TH_LOG("%zu samples: guest kernel %zu, guest user %zu, kernel %zu, user %zu", self->count,		\
	       count_mode(self, PERF_RECORD_MISC_GUEST_KERNEL), count_mode(self, PERF_RECORD_MISC_GUEST_USER),	\
	       count_mode(self, PERF_RECORD_MISC_KERNEL), count_mode(self, PERF_RECORD_MISC_USER));		\
	EXPECT_LT(20, self->count);										\
	EXPECT_LT(self->count / 2, count_mode(self, mode_of_guest));						\
	EXPECT_EQ(0, count_mode(self, other_mode));								\
	EXPECT_EQ(0, count_false(self));									\
} while (0)

/* Since perf has one place for guest callbacks. */
#define SKIP_BESIDE_KVM()						\
	do {								\
		if (is_beside_kvm()) {					\
			EXPECT_EQ(-EBUSY, set_perf_guest("1"));		\
			SKIP(return, "KVM has perf's guest callbacks");	\
		}							\
	} while (0)

TEST_F(pmi, perf_does_not_sample_guests_by_default)
{
	EXPECT_EQ(0, perf_guest_is_on());
	ASSERT_EQ(0, sample_clock(self));
	EXPECT_LT(20, self->count);
	EXPECT_EQ(0, count_mode(self, PERF_RECORD_MISC_GUEST_KERNEL));
	EXPECT_EQ(0, count_mode(self, PERF_RECORD_MISC_GUEST_USER));
	EXPECT_EQ(0, count_false(self));
	EXPECT_LT(self->count / 2, count_host_ip(self, busiest_host_ip(self)));
}

TEST_F(pmi, perf_samples_rip_in_kernel_mode_of_a_guest)
{
	uint64_t site;

	SKIP_BESIDE_KVM();
	ASSERT_EQ(0, sample_clock(self));
	site = busiest_host_ip(self);
	ASSERT_EQ(0, set_perf_guest("1"));
	ASSERT_EQ(1, perf_guest_is_on());
	ASSERT_EQ(0, sample_clock(self));
	EXPECT_SAMPLES_OF_GUEST(PERF_RECORD_MISC_GUEST_KERNEL, PERF_RECORD_MISC_GUEST_USER);
	/* No interrupt of the guest is mistaken for one of the host. */
	EXPECT_EQ(0, count_host_ip(self, site));
	ASSERT_EQ(0, set_perf_guest("0"));
	ASSERT_EQ(0, sample_clock(self));
	EXPECT_EQ(0, count_mode(self, PERF_RECORD_MISC_GUEST_KERNEL));
	EXPECT_LT(0, count_host_ip(self, site));
}

TEST_F(pmi, perf_samples_rip_in_user_mode_of_a_guest)
{
	SKIP_BESIDE_KVM();
	make_user(&self->vcpu);
	ASSERT_EQ(0, set_perf_guest("1"));
	ASSERT_EQ(0, sample_clock(self));
	EXPECT_SAMPLES_OF_GUEST(PERF_RECORD_MISC_GUEST_USER, PERF_RECORD_MISC_GUEST_KERNEL);
}

TEST_F(pmi, pmu_interrupt_reads_rip_of_a_guest)
{
	int error;

	SKIP_BESIDE_KVM();
	ASSERT_EQ(0, set_perf_guest("1"));
	error = sample(self, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, PERIOD_CYCLES);
	if (error == -ENOENT || error == -EOPNOTSUPP)
		SKIP(return, "this CPU has no PMU");
	ASSERT_EQ(0, error);
	EXPECT_SAMPLES_OF_GUEST(PERF_RECORD_MISC_GUEST_KERNEL, PERF_RECORD_MISC_GUEST_USER);
}

/* 0 or -errno. */
static long load(const char *name, const char *parameters)
{
	struct utsname kernel;
	char path[512];
	long error;
	int fd;

	uname(&kernel);
	snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", kernel.release, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return error;
}

static void unload(const char *name)
{
	if (syscall(SYS_delete_module, name, O_NONBLOCK) && errno != ENOENT)
		die("unloading %s", name);
}

/* Since 6.12 KVM uses VMX as soon as it is loaded, which it must not do here, unless a parameter prevents it. */
static const char *kvm_parameters(void)
{
	struct utsname kernel;
	unsigned int major, minor;

	uname(&kernel);
	if (sscanf(kernel.release, "%u.%u", &major, &minor) != 2)
		die("release %s", kernel.release);
	return major > 6 || minor >= 12 ? "enable_virt_at_load=0" : "";
}

TEST_F(pmi, perf_guest_is_refused_with_kvm_loaded_and_released_when_kvm_loads)
{
	struct kernel_log log;
	long error;

	SKIP_BESIDE_KVM();
	error = load("irqbypass", "");
	if (error == -ENOENT)
		SKIP(return, "this kernel has no kvm_intel as a module");
	ASSERT_EQ(0, error);
	ASSERT_EQ(0, load("kvm", kvm_parameters()));
	kernel_log_open(&log);

	/* KVM is loaded and gets the slot: otherwise it would WARN. */
	ASSERT_EQ(0, set_perf_guest("1"));
	ASSERT_EQ(0, load("kvm-intel", ""));
	EXPECT_EQ(1, kernel_log_count(&log, "perf_guest is off: kvm_intel is being loaded"));
	EXPECT_EQ(0, perf_guest_is_on());
	ASSERT_EQ(0, sample_clock(self));
	EXPECT_EQ(0, count_mode(self, PERF_RECORD_MISC_GUEST_KERNEL));

	/* KVM has the slot, and keeps it. */
	EXPECT_EQ(-EBUSY, set_perf_guest("1"));
	EXPECT_EQ(1, kernel_log_count(&log, "unload it (modprobe -r kvm_intel), then set perf_guest"));
	EXPECT_EQ(0, perf_guest_is_on());
	EXPECT_EQ(0, set_perf_guest("0"));

	unload("kvm_intel");
	EXPECT_EQ(0, set_perf_guest("1"));
	ASSERT_EQ(0, sample_clock(self));
	EXPECT_LT(self->count / 2, count_mode(self, PERF_RECORD_MISC_GUEST_KERNEL));
	unload("kvm");
	unload("irqbypass");
	kernel_log_close(&log);
}

TEST_HARNESS_MAIN
