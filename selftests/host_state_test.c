// SPDX-License-Identifier: GPL-2.0
/*
 * The host's registers survive a guest that changes them all, and the guest's
 * are restored when it runs again.
 */
#include "lib/harness.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "lib/cpuid.h"
#include "lib/cpus.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/raw_run.h"
#include "lib/test_module.h"
#include "lib/vm.h"
#include "vregcache_test/vregcache_test.h"

#define XSAVE_BYTES	4096
#define XSAVE_FCW	0
#define XSAVE_FTW	4
#define XSAVE_MXCSR	24
#define XSAVE_ST	32
#define XSAVE_XMM	160
#define XSAVE_BV	512
#define XFEATURE_PKRU	(1UL << 9)

/* The areas that the guest restores its registers from and saves them to. */
#define GUEST_XSAVE_IN	GUEST_FREE
#define GUEST_XSAVE_OUT	(GUEST_FREE + 0x2000)
#define GUEST_MASK	(GUEST_DATA + 0x80)

/*
 * Loads registers that the host uses too, and records their values at each
 * turn. EBX is the mask for XSAVE, 0 without XSAVE. R12 to R15 are kept.
 */
GUEST_ASM(own, 64,
	"	mov $0x1010101, %r12\n"
	"	mov $0x2020202, %r13\n"
	"	mov $0x3030303, %r14\n"
	"	mov $0x4040404, %r15\n"
	"	test %ebx, %ebx\n"
	"	jz 1f\n"
	"	xor %edx, %edx\n"
	"	mov %ebx, %eax\n"
	"	xrstor64 0x40000\n"
	"1:	mov $0x1111, %eax\n"
	"	mov %rax, %dr0\n"
	"	mov $0x2222, %eax\n"
	"	mov %rax, %dr1\n"
	"	mov $0x3333, %eax\n"
	"	mov %rax, %dr2\n"
	"	mov $0x4444, %eax\n"
	"	mov %rax, %dr3\n"
	/* Breakpoints 0 and 1 are enabled, at addresses that nothing executes. */
	"	mov $0x405, %eax\n"
	"	mov %rax, %dr7\n"
	"	mov $0x5555, %eax\n"
	"	mov %rax, %cr2\n"
	"2:	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	test %ebx, %ebx\n"
	"	jz 3f\n"
	"	xor %ecx, %ecx\n"
	"	xgetbv\n"
	"	mov %eax, 0x20030\n"
	"	mov %ebx, %eax\n"
	"	xor %edx, %edx\n"
	"	xsave64 0x42000\n"
	"3:	mov %dr0, %rax\n"
	"	mov %rax, 0x20000\n"
	"	mov %dr1, %rax\n"
	"	mov %rax, 0x20008\n"
	"	mov %dr2, %rax\n"
	"	mov %rax, 0x20010\n"
	"	mov %dr3, %rax\n"
	"	mov %rax, 0x20018\n"
	"	mov %dr7, %rax\n"
	"	mov %rax, 0x20020\n"
	"	mov %cr2, %rax\n"
	"	mov %rax, 0x20028\n"
	"	jmp 2b\n"
	/* An exception ends here. */
	"	hlt\n");

/* Guest MSRs that the host has too. */
static const struct kvm_msr_entry guest_msrs[] = {
	{ .index = 0xc0000081, .data = 0x0030000800000000 },
	{ .index = 0xc0000082, .data = 0x12345000 },
	{ .index = 0xc0000083, .data = 0x23456000 },
	{ .index = 0xc0000084, .data = 0x200 },
	{ .index = 0xc0000102, .data = 0x34567000 },
	{ .index = 0x174, .data = 0x8 },
	{ .index = 0x175, .data = 0x45678000 },
	{ .index = 0x176, .data = 0x56789000 },
	{ .index = 0x277, .data = 0x0007010600070106 },
};

#define GUEST_MSRS (sizeof(guest_msrs) / sizeof(guest_msrs[0]))

FIXTURE(host) {
	struct vm vm;
	struct vcpu vcpu;
	struct raw_state raw;
	uint64_t mask;
	/* Offsets in the XSAVE area. */
	uint32_t ymm;
	uint32_t pkru;
};

static uint64_t host_xcr0(void)
{
	uint32_t a, b, c, d;

	__cpuid(1, a, b, c, d);
	if (!(c >> 27 & 1))
		return 0;
	asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return a | (uint64_t)d << 32;
}

/* x87, SSE and AVX, and PKRU where both the guest and the host have them. */
static uint64_t common_features(struct vcpu *vcpu)
{
	uint64_t features = 0;

	if (vcpu_has_xsave(vcpu))
		features |= 3;
	if (vcpu_has_avx(vcpu))
		features |= 4;
	if (vcpu_has_pku(vcpu))
		features |= XFEATURE_PKRU;
	return features & host_xcr0();
}

static uint32_t xsave_offset(int feature)
{
	uint32_t size, offset, c, d;

	__cpuid_count(0xd, feature, size, offset, c, d);
	return offset;
}

static void set_xcr0(struct vcpu *vcpu, uint64_t value)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = value } };

	if (ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs))
		die("KVM_SET_XCRS");
}

FIXTURE_SETUP(host)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK };
	struct kvm_sregs sregs;

	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vcpu_install_idt64(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, own);
	vm_write64(&self->vm, GUEST_EXC_RECORD + EXC_RESUME, GUEST_CODE + (guest_own_end - guest_own) - 1);
	self->mask = common_features(&self->vcpu);
	self->ymm = xsave_offset(2);
	self->pkru = xsave_offset(9);
	vcpu_get_sregs(&self->vcpu, &sregs);
	if (self->mask)
		sregs.cr4 |= CR4_OSXSAVE;
	if (self->mask & XFEATURE_PKRU)
		sregs.cr4 |= CR4_PKE;
	sregs.fs.base = 0x1230000;
	sregs.gs.base = 0x4560000;
	vcpu_set_sregs(&self->vcpu, &sregs);
	if (self->mask)
		set_xcr0(&self->vcpu, self->mask);
	regs.rbx = self->mask;
	vcpu_set_regs(&self->vcpu, &regs);
	for (size_t i = 0; i < GUEST_MSRS; i++) {
		if (!vcpu_set_msr(&self->vcpu, guest_msrs[i].index, guest_msrs[i].data))
			die("MSR %#x", guest_msrs[i].index);
	}
	if (vcpu_has_rdtscp(&self->vcpu))
		vcpu_set_msr(&self->vcpu, 0xc0000103, 0x00abcdef);
	self->raw.flags_in = 0x202;
}

FIXTURE_TEARDOWN(host)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* Values for all registers of an XSAVE area; the salt distinguishes host and guest. */
static void fill_xsave(uint8_t *area, uint64_t mask, uint32_t ymm, uint32_t pkru, uint8_t salt)
{
	uint16_t fcw = salt & 1 ? 0x0c7f : 0x077f;
	uint32_t mxcsr = salt & 1 ? 0x3f80 : 0x5fc0;
	uint32_t keys = salt & 1 ? 0x55555550 : 0xaaaa5550;
	int i;

	memset(area, 0, XSAVE_BYTES);
	memcpy(area + XSAVE_FCW, &fcw, sizeof(fcw));
	memcpy(area + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	area[XSAVE_FTW] = 0xff;
	for (i = 0; i < 8 * 16; i++)
		area[XSAVE_ST + i] = i % 16 < 10 ? salt + 3 * i : 0;
	for (i = 0; i < 16 * 16; i++)
		area[XSAVE_XMM + i] = salt + 5 * i + 1;
	if (mask & 4) {
		for (i = 0; i < 16 * 16; i++)
			area[ymm + i] = salt + 7 * i + 2;
	}
	if (mask & XFEATURE_PKRU)
		memcpy(area + pkru, &keys, sizeof(keys));
	memcpy(area + XSAVE_BV, &mask, sizeof(mask));
}

/* 0, or the number of the part that differs. */
static int compare_xsave(const uint8_t *one, const uint8_t *other, uint64_t mask, uint32_t ymm, uint32_t pkru)
{
	if (memcmp(one + XSAVE_FCW, other + XSAVE_FCW, 2))
		return 1;
	if (memcmp(one + XSAVE_MXCSR, other + XSAVE_MXCSR, 4))
		return 2;
	if (memcmp(one + XSAVE_ST, other + XSAVE_ST, 8 * 16))
		return 3;
	if (memcmp(one + XSAVE_XMM, other + XSAVE_XMM, 16 * 16))
		return 4;
	if (mask & 4 && memcmp(one + ymm, other + ymm, 16 * 16))
		return 5;
	if (mask & XFEATURE_PKRU && memcmp(one + pkru, other + pkru, 4))
		return 6;
	return 0;
}

TEST_F(host, general_purpose_registers_and_flags)
{
	struct raw_state *raw = &self->raw;

	for (int turn = 0; turn < 20; turn++) {
		for (int i = 0; i < RAW_REGISTERS; i++)
			raw->in[i] = 0x1122334455667788UL * (i + 1) + turn;
		/* Carry, parity, zero and overflow, and on odd turns the direction flag. */
		raw->flags_in = turn & 1 ? 0xe47 : 0xa03;
		ASSERT_EQ(0, raw_run(self->vcpu.fd, raw));
		EXPECT_EQ(0, memcmp(raw->in, raw->out, sizeof(raw->in)));
		EXPECT_EQ((uint64_t)self->vcpu.fd, raw->rdi_out);
		EXPECT_EQ((uint64_t)KVM_RUN, raw->rsi_out);
		EXPECT_EQ(0U, raw->rdx_out);
		EXPECT_EQ(raw->flags_in, raw->flags_out);
	}
}

TEST_F(host, x87_sse_avx_and_pkru_of_both_sides)
{
	uint8_t *mine = aligned_alloc(64, XSAVE_BYTES), *seen = aligned_alloc(64, XSAVE_BYTES);
	uint8_t *guest_in = vm_at(&self->vm, GUEST_XSAVE_IN), *guest_out = vm_at(&self->vm, GUEST_XSAVE_OUT);

	if (!self->mask)
		SKIP(return, "the CPU has no XSAVE");
	printf("# register sets compared: %#lx\n", self->mask);
	fill_xsave(guest_in, self->mask, self->ymm, self->pkru, 2);
	self->raw.xsave_in = mine;
	self->raw.xsave_out = seen;
	self->raw.xsave_mask = self->mask;
	for (int turn = 0; turn < 50; turn++) {
		fill_xsave(mine, self->mask, self->ymm, self->pkru, 2 * turn + 1);
		memset(seen, 0, XSAVE_BYTES);
		memset(guest_out, 0, XSAVE_BYTES);
		ASSERT_EQ(0, raw_run(self->vcpu.fd, &self->raw));
		ASSERT_EQ((unsigned int)KVM_EXIT_IO, self->vcpu.run->exit_reason)
			TH_LOG("exception %lu at %#lx", vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR),
			       vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_RIP));
		ASSERT_EQ(0, compare_xsave(mine, seen, self->mask, self->ymm, self->pkru));
		if (turn == 0)
			continue;
		ASSERT_EQ(0, compare_xsave(guest_in, guest_out, self->mask, self->ymm, self->pkru));
		ASSERT_EQ(self->mask, vm_read64(&self->vm, GUEST_DATA + 0x30));
	}
	free(mine);
	free(seen);
}

/* Sets XCR0 from EBX, then reads it after an exit. */
GUEST_ASM(xsetbv, 64,
	"	xor %ecx, %ecx\n"
	"	xor %edx, %edx\n"
	"	mov %ebx, %eax\n"
	"	xsetbv\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	xgetbv\n"
	"	mov %eax, %esi\n"
	/* x87 cannot be disabled: #GP. */
	"	mov $2, %eax\n"
	"	xsetbv\n"
	"	hlt\n");

TEST_F(host, guest_sets_xcr0_by_itself)
{
	struct kvm_xcrs xcrs;
	struct kvm_regs regs;

	if (!self->mask)
		SKIP(return, "the CPU has no XSAVE");
	if (machine_is_tcg())
		SKIP(return, "this machine does not intercept XSETBV");
	vm_load(&self->vm, GUEST_CODE, xsetbv);
	set_xcr0(&self->vcpu, 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_XCRS, &xcrs));
	EXPECT_EQ(1U, xcrs.nr_xcrs);
	EXPECT_EQ(self->mask, xcrs.xcrs[0].value);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(13U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(self->mask, regs.rsi);
}

TEST_F(host, guest_keeps_debug_registers_cr2_and_msrs)
{
	static const uint64_t expected[] = { 0x1111, 0x2222, 0x3333, 0x4444, 0x405, 0x5555 };
	uint64_t value;

	for (int turn = 0; turn < 20; turn++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		for (size_t i = 0; turn > 0 && i < sizeof(expected) / sizeof(expected[0]); i++) {
			ASSERT_EQ(expected[i], vm_read64(&self->vm, GUEST_DATA + 8 * i));
		}
	}
	for (size_t i = 0; i < GUEST_MSRS; i++) {
		ASSERT_TRUE(vcpu_get_msr(&self->vcpu, guest_msrs[i].index, &value));
		EXPECT_EQ(guest_msrs[i].data, value)
			TH_LOG("MSR %#x", guest_msrs[i].index);
	}
}

TEST_F(host, bases_of_fs_and_gs)
{
	static uint64_t words[4] = { 0, 0x6007d00d };
	unsigned long fs_before, fs_after, gs_after;
	uint64_t word;

	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_SET_GS, &words[1]));
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_before));
	for (int turn = 0; turn < 20; turn++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		asm volatile("mov %%gs:0, %0" : "=r"(word));
		ASSERT_EQ(0x6007d00dU, word);
		ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_GS, &gs_after));
		ASSERT_EQ((unsigned long)&words[1], gs_after);
		ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_after));
		ASSERT_EQ(fs_before, fs_after);
	}
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0UL);
}

#define LDT_ENTRY	3
#define LDT_SELECTOR	(LDT_ENTRY << 3 | 7)

TEST_F(host, ldt_selectors_in_ds_es_fs_and_gs)
{
	uint64_t *low = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct user_desc entry = {
		.entry_number = LDT_ENTRY, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1,
	};
	unsigned long fs_base;

	ASSERT_NE(MAP_FAILED, low);
	*low = 0x1d7e1d7e1d7e1d7e;
	entry.base_addr = (uintptr_t)low;
	if (syscall(SYS_modify_ldt, 1, &entry, sizeof(entry)))
		SKIP(return, "modify_ldt: %s", strerror(errno));
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base));
	self->raw.selector = LDT_SELECTOR;
	self->raw.fs_base = fs_base;
	for (int turn = 0; turn < 20; turn++) {
		ASSERT_EQ(0, raw_run(self->vcpu.fd, &self->raw));
		ASSERT_EQ((unsigned int)KVM_EXIT_IO, self->vcpu.run->exit_reason);
		ASSERT_EQ((uint64_t)LDT_SELECTOR, self->raw.ds_out);
		ASSERT_EQ((uint64_t)LDT_SELECTOR, self->raw.es_out);
		ASSERT_EQ((uint64_t)LDT_SELECTOR, self->raw.fs_out);
		ASSERT_EQ((uint64_t)LDT_SELECTOR, self->raw.gs_out);
		ASSERT_EQ(*low, self->raw.fs_word);
		ASSERT_EQ(*low, self->raw.gs_word);
	}
}

static int open_breakpoint(volatile void *address)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uintptr_t)address, .bp_len = HW_BREAKPOINT_LEN_8, .exclude_kernel = 1, .exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

TEST_F(host, host_breakpoints_still_fire)
{
	static volatile uint64_t watched;
	uint64_t hits = 0;
	int fd = open_breakpoint(&watched);

	if (fd < 0)
		SKIP(return, "no hardware breakpoint: %s", strerror(errno));
	watched = 1;
	ASSERT_EQ((ssize_t)sizeof(hits), read(fd, &hits, sizeof(hits)));
	if (hits != 1)
		SKIP(close(fd); return, "this machine's breakpoints do not fire");
	for (int turn = 0; turn < 20; turn++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		watched = turn;
	}
	ASSERT_EQ((ssize_t)sizeof(hits), read(fd, &hits, sizeof(hits)));
	EXPECT_EQ(21U, hits);
	/* The guest keeps its own registers. */
	EXPECT_EQ(0x1111U, vm_read64(&self->vm, GUEST_DATA));
	close(fd);
}

/* A VM-exit leaves the TSS without its I/O permission bitmap: a task with access to a port would get SIGSEGV. */
TEST_F(host, limit_of_the_task_state_segment)
{
	const unsigned short port = 0x80;

	if (ioperm(port, 1, 1))
		SKIP(return, "ioperm: %s", strerror(errno));
	for (int turn = 0; turn < 20; turn++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		outb(0, port);
	}
	ASSERT_EQ(0, ioperm(port, 1, 0));
}

/* A VM-exit sets both limits to 0xffff. */
TEST_F(host, limits_of_gdt_and_idt)
{
	const char *reason = test_module_load();
	struct vrc_test_tables before, after;

	if (reason)
		SKIP(return, "%s", reason);
	pin_here();
	EXPECT_EQ(0, test_module_ioctl(VRC_TEST_HOST_TABLES, &before));
	EXPECT_GT(0xffff, before.gdt_limit);
	EXPECT_GT(0xffff, before.idt_limit);
	for (int turn = 0; turn < 20; turn++) {
		EXPECT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		EXPECT_EQ(0, test_module_ioctl(VRC_TEST_HOST_TABLES, &after));
		EXPECT_EQ(before.gdt_limit, after.gdt_limit);
		EXPECT_EQ(before.idt_limit, after.idt_limit);
		EXPECT_EQ(before.idt_base, after.idt_base);
	}
	test_module_close();
}

TEST_F(host, system_calls_and_tsc_aux)
{
	uint32_t a, b, c, d, aux;
	unsigned int cpu, node;
	uint64_t pid;

	__cpuid(0x80000001, a, b, c, d);
	pin_here();
	for (int turn = 0; turn < 20; turn++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		ASSERT_EQ(getpid(), syscall(SYS_getpid));
		ASSERT_EQ(0, syscall(SYS_getcpu, &cpu, &node, NULL));
		if (d >> 27 & 1) {
			asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
			ASSERT_EQ(cpu | node << 12, aux);
		}
	}
	__cpuid_count(7, 0, a, b, c, d);
	if (c >> 22 & 1) {
		asm volatile(".byte 0xf3, 0x0f, 0xc7, 0xf8" : "=a"(pid));
		EXPECT_EQ(cpu | node << 12, pid);
	}
}

static void load_msr_module(void)
{
	const char *given = getenv("VRC_MSR_MODULE");
	struct utsname name;
	char path[512];
	int fd;

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/msr.ko", name.release);
	fd = open(given ? given : path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	syscall(SYS_finit_module, fd, "", 0);
	close(fd);
}

static int open_msrs(int cpu)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		load_msr_module();
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return fd;
}

static const uint32_t host_msrs[] = {
	0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000103,
	0x174, 0x175, 0x176, 0x277, 0x1d9, 0xda0,
};

#define HOST_MSRS (sizeof(host_msrs) / sizeof(host_msrs[0]))

static void read_msrs(int fd, uint64_t *values)
{
	/* An MSR that the CPU does not have stays 0 both times. */
	for (size_t i = 0; i < HOST_MSRS; i++) {
		if (pread(fd, &values[i], sizeof(values[i]), host_msrs[i]) != sizeof(values[i]))
			values[i] = 0;
	}
}

GUEST_ASM(spin, 64, "1: incq " GUEST_STRING(GUEST_DATA) "\n jmp 1b\n");

static void on_kick(int signal)
{
	(void)signal;
}

static void *spin_in_the_guest(void *argument)
{
	struct vcpu *vcpu = argument;
	long reason;

	do {
		reason = vcpu_run(vcpu);
	} while (reason == KVM_EXIT_INTR && !vcpu->run->immediate_exit);
	return (void *)reason;
}

/*
 * The guest's task is preempted in KVM_RUN again and again, and another task gets the CPU. (Bochs does not exit for an
 * interrupt while the guest has interrupts disabled.)
 */
TEST_F(host, tasks_on_the_same_cpu_keep_their_state)
{
	struct sigaction action = { .sa_handler = on_kick };
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED | RFLAGS_IF, .rsp = GUEST_STACK };
	unsigned int cpu, node, expected_cpu = pin_here();
	uint32_t a, b, c, d, aux;
	uint64_t rounds = 0, shared = 0;
	pthread_t thread;
	void *reason;

	sigaction(SIGUSR1, &action, NULL);
	vm_write64(&self->vm, GUEST_DATA, 0);
	__cpuid(0x80000001, a, b, c, d);
	vm_load(&self->vm, GUEST_CODE, spin);
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(0, pthread_create(&thread, NULL, spin_in_the_guest, &self->vcpu));
	for (int turn = 0; turn < 100; turn++) {
		/* Gives the CPU to the guest. */
		usleep(1000);
		shared += vm_read64(&self->vm, GUEST_DATA) != rounds;
		rounds = vm_read64(&self->vm, GUEST_DATA);
		EXPECT_EQ(getpid(), syscall(SYS_getpid));
		EXPECT_EQ(0, syscall(SYS_getcpu, &cpu, &node, NULL));
		EXPECT_EQ(expected_cpu, cpu);
		if (d >> 27 & 1) {
			asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
			EXPECT_EQ(cpu | node << 12, aux);
		}
	}
	self->vcpu.run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &reason);
	EXPECT_EQ(KVM_EXIT_INTR, (long)reason);
	EXPECT_LT(50U, shared);
}

TEST_F(host, msrs_of_the_kernel)
{
	uint64_t before[HOST_MSRS], after[HOST_MSRS];
	int cpu = pin_here();
	int fd = open_msrs(cpu);

	if (fd < 0)
		SKIP(return, "/dev/cpu/%d/msr does not exist", cpu);
	read_msrs(fd, before);
	/* EFER and LSTAR are never 0, unless nothing was read. */
	ASSERT_NE(0U, before[0]);
	ASSERT_NE(0U, before[2]);
	for (int turn = 0; turn < 10; turn++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		read_msrs(fd, after);
		for (size_t i = 0; i < HOST_MSRS; i++) {
			EXPECT_EQ(before[i], after[i])
				TH_LOG("MSR %#x", host_msrs[i]);
		}
	}
	close(fd);
}

TEST_F(host, state_follows_the_vcpu_from_cpu_to_cpu)
{
	uint8_t *guest_in = vm_at(&self->vm, GUEST_XSAVE_IN), *guest_out = vm_at(&self->vm, GUEST_XSAVE_OUT);
	int cpus[2] = { sched_getcpu(), -1 };
	struct kvm_regs regs;
	unsigned int cpu;

	cpus[1] = another_cpu(cpus[0]);
	if (cpus[1] < 0)
		SKIP(return, "the machine has one CPU");
	if (self->mask)
		fill_xsave(guest_in, self->mask, self->ymm, self->pkru, 2);
	for (int turn = 0; turn < 100; turn++) {
		ASSERT_EQ(0, pin_to_cpu(cpus[turn & 1]));
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		ASSERT_EQ(0, syscall(SYS_getcpu, &cpu, NULL, NULL));
		ASSERT_EQ((unsigned int)cpus[turn & 1], cpu);
		if (turn == 0)
			continue;
		/* Sometimes read on the other CPU. */
		if (turn % 3 == 0) {
			ASSERT_EQ(0, pin_to_cpu(cpus[~turn & 1]));
		}
		vcpu_get_regs(&self->vcpu, &regs);
		ASSERT_EQ(0x1010101ULL, regs.r12);
		ASSERT_EQ(0x4040404ULL, regs.r15);
		ASSERT_EQ((uint64_t)GUEST_STACK, regs.rsp);
		ASSERT_EQ(0x4444U, vm_read64(&self->vm, GUEST_DATA + 0x18));
		ASSERT_EQ(0x5555U, vm_read64(&self->vm, GUEST_DATA + 0x28));
		if (self->mask) {
			ASSERT_EQ(0, compare_xsave(guest_in, guest_out, self->mask, self->ymm, self->pkru));
		}
	}
}

TEST_HARNESS_MAIN
