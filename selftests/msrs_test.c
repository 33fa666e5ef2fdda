// SPDX-License-Identifier: GPL-2.0
/* Model-specific registers: as userspace sees them, as the guest sees them, and their effects. */
#include "lib/harness.h"
#include "lib/cpuid.h"
#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/ports.h"
#include "lib/vm.h"

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_DEBUGCTL		0x1d9
#define MSR_PAT			0x277
#define MSR_XSS			0xda0
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103
/* No CPU has this one. */
#define MSR_NONE		0xdeadbeef

FIXTURE(msrs) {
	struct vm vm;
	struct vcpu vcpu;
	struct port_log log;
};

FIXTURE_SETUP(msrs)
{
	/* The TSCs of two CPUs may differ. */
	pin_here();
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vcpu_install_idt64(&self->vcpu);
}

FIXTURE_TEARDOWN(msrs)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* MSRs that hold any of these values; those that the CPU may lack are listed separately. */
static const struct kvm_msr_entry holders[] = {
	{ .index = MSR_STAR, .data = 0x0030000800112233 },
	{ .index = MSR_LSTAR, .data = 0xffff800012345678 },
	{ .index = MSR_CSTAR, .data = 0x00007fff87654321 },
	{ .index = MSR_SFMASK, .data = 0x0000000000047700 },
	{ .index = MSR_KERNEL_GS_BASE, .data = 0xffffc90000abcdef },
	{ .index = MSR_FS_BASE, .data = 0x00007f1122334455 },
	{ .index = MSR_GS_BASE, .data = 0xffff888099887766 },
	{ .index = MSR_SYSENTER_CS, .data = 0x1234 },
	{ .index = MSR_SYSENTER_ESP, .data = 0x11223344 },
	{ .index = MSR_SYSENTER_EIP, .data = 0x55667788 },
	{ .index = MSR_PAT, .data = 0x0001040506070106 },
};

#define HOLDERS (sizeof(holders) / sizeof(holders[0]))

TEST_F(msrs, index_list_reports_its_length_and_then_the_indices)
{
	static const uint32_t wanted[] = {
		MSR_TSC, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR, MSR_PAT,
		MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE,
	};
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 4096 * sizeof(list->indices[0]));
	uint32_t length, i;

	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vm.dev, KVM_GET_MSR_INDEX_LIST, list));
	length = list->nmsrs;
	ASSERT_GE(length, (uint32_t)HOLDERS - 2);
	ASSERT_LT(length, 4096U);
	list->nmsrs = length - 1;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vm.dev, KVM_GET_MSR_INDEX_LIST, list));
	list->nmsrs = length;
	ASSERT_EQ(0, ioctl_ptr(self->vm.dev, KVM_GET_MSR_INDEX_LIST, list));
	EXPECT_EQ(length, list->nmsrs);
	for (size_t w = 0; w < sizeof(wanted) / sizeof(wanted[0]); w++) {
		for (i = 0; i < length && list->indices[i] != wanted[w]; i++)
			;
		EXPECT_LT(i, length)
			TH_LOG("MSR %#x", wanted[w]);
	}
	free(list);
}

TEST_F(msrs, each_msr_keeps_the_value_that_userspace_sets)
{
	uint64_t value;

	for (size_t i = 0; i < HOLDERS; i++) {
		ASSERT_TRUE(vcpu_set_msr(&self->vcpu, holders[i].index, holders[i].data))
			TH_LOG("MSR %#x", holders[i].index);
	}
	/* All are set before the first is read, so that two that share storage are detected. */
	for (size_t i = 0; i < HOLDERS; i++) {
		ASSERT_TRUE(vcpu_get_msr(&self->vcpu, holders[i].index, &value));
		EXPECT_EQ(holders[i].data, value)
			TH_LOG("MSR %#x", holders[i].index);
	}
}

/* Reads ECX MSRs, from the list at RSI, to RDI, each as EDX:EAX. */
GUEST_ASM(read_all, 64,
	"	mov %ecx, %ebx\n"
	"1:	mov (%rsi), %ecx\n"
	"	rdmsr\n"
	"	mov %eax, (%rdi)\n"
	"	mov %edx, 4(%rdi)\n"
	"	add $4, %rsi\n"
	"	add $8, %rdi\n"
	"	dec %ebx\n"
	"	jnz 1b\n"
	"	hlt\n");

/* Writes the same list with the values at RDI. */
GUEST_ASM(write_all, 64,
	"	mov %ecx, %ebx\n"
	"1:	mov (%rsi), %ecx\n"
	"	mov (%rdi), %eax\n"
	"	mov 4(%rdi), %edx\n"
	"	wrmsr\n"
	"	add $4, %rsi\n"
	"	add $8, %rdi\n"
	"	dec %ebx\n"
	"	jnz 1b\n"
	"	hlt\n");

#define LIST_GPA	(GUEST_DATA + 0x1000)
#define VALUES_GPA	(GUEST_DATA + 0x2000)

static void start_list(struct vcpu *vcpu)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK,
		.rsi = LIST_GPA, .rdi = VALUES_GPA, .rcx = HOLDERS,
	};
	uint32_t *list = vm_at(vcpu->vm, LIST_GPA);

	for (size_t i = 0; i < HOLDERS; i++)
		list[i] = holders[i].index;
	vcpu_set_regs(vcpu, &regs);
}

TEST_F(msrs, guest_reads_the_values_that_userspace_set)
{
	for (size_t i = 0; i < HOLDERS; i++) {
		ASSERT_TRUE(vcpu_set_msr(&self->vcpu, holders[i].index, holders[i].data));
	}
	vm_load(&self->vm, GUEST_CODE, read_all);
	start_list(&self->vcpu);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	for (size_t i = 0; i < HOLDERS; i++) {
		EXPECT_EQ(holders[i].data, vm_read64(&self->vm, VALUES_GPA + 8 * i))
			TH_LOG("MSR %#x", holders[i].index);
	}
}

TEST_F(msrs, userspace_reads_the_values_that_the_guest_wrote)
{
	struct kvm_sregs sregs;
	uint64_t value;

	for (size_t i = 0; i < HOLDERS; i++)
		vm_write64(&self->vm, VALUES_GPA + 8 * i, holders[i].data);
	vm_load(&self->vm, GUEST_CODE, write_all);
	start_list(&self->vcpu);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	for (size_t i = 0; i < HOLDERS; i++) {
		ASSERT_TRUE(vcpu_get_msr(&self->vcpu, holders[i].index, &value));
		EXPECT_EQ(holders[i].data, value)
			TH_LOG("MSR %#x", holders[i].index);
		if (holders[i].index == MSR_FS_BASE) {
			vcpu_get_sregs(&self->vcpu, &sregs);
			EXPECT_EQ(value, sregs.fs.base);
		}
	}
}

TEST_F(msrs, fs_and_gs_base_are_those_of_the_segments)
{
	struct kvm_sregs sregs;
	uint64_t value;

	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.fs.base = 0x111122223333;
	sregs.gs.base = 0x444455556666;
	vcpu_set_sregs(&self->vcpu, &sregs);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_FS_BASE, &value));
	EXPECT_EQ(sregs.fs.base, value);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_GS_BASE, &value));
	EXPECT_EQ(sregs.gs.base, value);
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_GS_BASE, 0x777788889999));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(0x777788889999ULL, sregs.gs.base);
	EXPECT_EQ(0x111122223333ULL, sregs.fs.base);
}

TEST_F(msrs, efer_is_that_of_sregs)
{
	struct kvm_sregs sregs;
	uint64_t value;

	vcpu_get_sregs(&self->vcpu, &sregs);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_EFER, &value));
	EXPECT_EQ(sregs.efer, value);
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_EFER, value & ~EFER_SCE));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(value & ~EFER_SCE, sregs.efer);
}

TEST_F(msrs, apic_base_is_that_of_sregs)
{
	struct kvm_sregs sregs;
	uint64_t value;

	vcpu_get_sregs(&self->vcpu, &sregs);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_APIC_BASE, &value));
	EXPECT_EQ(sregs.apic_base, value);
	EXPECT_EQ(0xfee00000U, value & 0xfffff000);
}

TEST_F(msrs, tsc_counts_from_the_value_that_was_set)
{
	uint64_t first, second;

	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_TSC, 1UL << 40));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_TSC, &first));
	EXPECT_GE(first, 1UL << 40);
	/* The read comes far less than a day later. */
	EXPECT_LT(first, 1UL << 48);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_TSC, &second));
	/* KVM sets a vCPU's TSC back when it finds the host's own to be unstable. */
	EXPECT_GT(second, device_is_vregcache() ? first : 1UL << 40);
}

GUEST_ASM(read_tsc, 64,
	"	rdtsc\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	hlt\n");

TEST_F(msrs, guest_reads_the_tsc_that_was_set)
{
	struct kvm_regs regs;
	uint64_t after;

	vm_load(&self->vm, GUEST_CODE, read_tsc);
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_TSC, 3UL << 50));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_TSC, &after));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_GE(regs.rax, 3ULL << 50);
	EXPECT_GE(after, regs.rax);
}

TEST_F(msrs, tsc_starts_at_zero)
{
	uint64_t start = __builtin_ia32_rdtsc(), value;
	struct vcpu vcpu;
	struct vm vm;

	vm_create_bare(&vm);
	vcpu_create(&vcpu, &vm, 0);
	ASSERT_TRUE(vcpu_get_msr(&vcpu, MSR_TSC, &value));
	EXPECT_LE(value, __builtin_ia32_rdtsc() - start);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

TEST_F(msrs, debugctl_is_zero_initially)
{
	uint64_t value;

	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_DEBUGCTL, &value));
	EXPECT_EQ(0U, value);
	EXPECT_TRUE(vcpu_set_msr(&self->vcpu, MSR_DEBUGCTL, 0));
}

TEST_F(msrs, xss_exists_with_xsaves)
{
	uint64_t value;

	if (!vcpu_has_xsaves(&self->vcpu))
		SKIP(return, "the CPU has no XSAVES");
	EXPECT_TRUE(vcpu_get_msr(&self->vcpu, MSR_XSS, &value));
	EXPECT_EQ(0U, value);
	EXPECT_TRUE(vcpu_set_msr(&self->vcpu, MSR_XSS, 0));
}

struct three_msrs {
	struct kvm_msrs header;
	struct kvm_msr_entry entry[3];
};

TEST_F(msrs, lists_stop_at_the_first_invalid_msr)
{
	struct three_msrs msrs = {
		.header.nmsrs = 3,
		.entry = {
			{ .index = MSR_STAR, .data = 0x123 },
			{ .index = MSR_NONE, .data = 0 },
			{ .index = MSR_SYSENTER_CS, .data = 0x456 },
		},
	};
	uint64_t value;

	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_SYSENTER_CS, 0x99));
	EXPECT_EQ(1, ioctl_ptr(self->vcpu.fd, KVM_SET_MSRS, &msrs));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_STAR, &value));
	EXPECT_EQ(0x123U, value);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_SYSENTER_CS, &value));
	EXPECT_EQ(0x99U, value);

	msrs.entry[0].data = 0;
	EXPECT_EQ(1, ioctl_ptr(self->vcpu.fd, KVM_GET_MSRS, &msrs));
	EXPECT_EQ(0x123U, msrs.entry[0].data);

	msrs.entry[1].index = MSR_PAT;
	EXPECT_EQ(3, ioctl_ptr(self->vcpu.fd, KVM_GET_MSRS, &msrs));
	EXPECT_EQ(0x99U, msrs.entry[2].data);
	msrs.header.nmsrs = 0;
	EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_MSRS, &msrs));
	EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_MSRS, &msrs));
}

/*
 * SYSRET to user code, SYSCALL back, and again with an OUT from user code. The
 * values that the handler found are at GUEST_DATA.
 */
GUEST_ASM(syscall, 64,
	"syscall_start:\n"
	"	mov $0x10000 + syscall_user - syscall_start, %rcx\n"
	"	mov $0x3ad7, %r11\n"
	"	sysretq\n"
	"syscall_user:\n"
	"	mov %cs, 0x20030\n"
	"	mov %ss, 0x20038\n"
	"	pushfq\n"
	"	pop 0x20040\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	mov $0x1111, %ebx\n"
	"	syscall\n"
	"syscall_after:\n"
	"	ud2\n"
	"syscall_handler:\n"
	"	mov %rcx, 0x20000\n"
	"	mov %r11, 0x20008\n"
	"	mov %cs, 0x20010\n"
	"	mov %ss, 0x20018\n"
	"	pushfq\n"
	"	pop 0x20020\n"
	"	mov %rbx, 0x20028\n"
	"	outb %al, $" GUEST_STRING(PORT_DONE) "\n"
	"syscall_offsets:\n"
	"	.long syscall_after - syscall_start\n"
	"	.long syscall_handler - syscall_start\n");

TEST_F(msrs, syscall_and_sysret_use_star_lstar_and_sfmask)
{
	size_t bytes = guest_syscall_end - guest_syscall;
	struct kvm_sregs sregs;
	uint32_t offsets[2];

	vm_load(&self->vm, GUEST_CODE, syscall);
	memcpy(offsets, vm_at(&self->vm, GUEST_CODE + bytes - sizeof(offsets)), sizeof(offsets));
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_STAR, (uint64_t)SEL_USER_CODE32 << 48 | (uint64_t)SEL_CODE64 << 32));
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_LSTAR, GUEST_CODE + offsets[1]));
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_SFMASK, 0x0ad5));

	/* The OUT of user code, which has IOPL 3. */
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 1));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(SEL_USER_CODE64 | 3, sregs.cs.selector);
	EXPECT_EQ(SEL_USER_DATA | 3, sregs.ss.selector);
	EXPECT_EQ(3, sregs.ss.dpl);
	EXPECT_EQ(3, sregs.cs.dpl);
	EXPECT_EQ((uint64_t)(SEL_USER_CODE64 | 3), vm_read64(&self->vm, GUEST_DATA + 0x30));
	EXPECT_EQ((uint64_t)(SEL_USER_DATA | 3), vm_read64(&self->vm, GUEST_DATA + 0x38));
	EXPECT_EQ(0x3ad7U, vm_read64(&self->vm, GUEST_DATA + 0x40));

	/* The OUT of the handler. */
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_DONE, 1));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(SEL_CODE64, sregs.cs.selector);
	EXPECT_EQ(0, sregs.ss.dpl);
	EXPECT_EQ(GUEST_CODE + (uint64_t)offsets[0], vm_read64(&self->vm, GUEST_DATA + 0x00));
	EXPECT_EQ(0x3ad7U, vm_read64(&self->vm, GUEST_DATA + 0x08));
	EXPECT_EQ((uint64_t)SEL_CODE64, vm_read64(&self->vm, GUEST_DATA + 0x10));
	EXPECT_EQ((uint64_t)SEL_DATA, vm_read64(&self->vm, GUEST_DATA + 0x18));
	EXPECT_EQ(0x3ad7U & ~0x0ad5U, vm_read64(&self->vm, GUEST_DATA + 0x20));
	EXPECT_EQ(0x1111U, vm_read64(&self->vm, GUEST_DATA + 0x28));
}

/* The word at GS:0, before and after SWAPGS, with exits in between. */
GUEST_ASM(swapgs, 64,
	"	mov %gs:0, %rbx\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	swapgs\n"
	"	mov %gs:0, %rcx\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	mov %gs:0, %rdx\n"
	"	swapgs\n"
	"	mov %gs:0, %rsi\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n");

TEST_F(msrs, swapgs_uses_kernel_gs_base)
{
	const uint64_t one = GUEST_FREE, other = GUEST_FREE + PAGE_BYTES;
	uint64_t gs, kernel_gs;
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, swapgs);
	vm_write64(&self->vm, one, 0x1111111111111111);
	vm_write64(&self->vm, other, 0x2222222222222222);
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_GS_BASE, one));
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_KERNEL_GS_BASE, other));
	for (int stop = 0; stop < 3; stop++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_GS_BASE, &gs));
		ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_KERNEL_GS_BASE, &kernel_gs));
		EXPECT_EQ(stop == 1 ? other : one, gs);
		EXPECT_EQ(stop == 1 ? one : other, kernel_gs);
	}
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x1111111111111111ULL, regs.rbx);
	EXPECT_EQ(0x2222222222222222ULL, regs.rcx);
	EXPECT_EQ(0x2222222222222222ULL, regs.rdx);
	EXPECT_EQ(0x1111111111111111ULL, regs.rsi);
}

/* Reads TSC_AUX to RBX, and after an exit to RSI. */
GUEST_ASM(rdtscp, 64,
	"	rdtscp\n"
	"	mov %ecx, %ebx\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	rdtscp\n"
	"	mov %ecx, %esi\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n");

TEST_F(msrs, rdtscp_returns_tsc_aux)
{
	struct kvm_regs regs;
	uint64_t value;

	if (!vcpu_has_rdtscp(&self->vcpu))
		SKIP(return, "the CPU has no RDTSCP");
	vm_load(&self->vm, GUEST_CODE, rdtscp);
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_TSC_AUX, 0x600dcafe));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x600dcafeULL, regs.rbx);
	EXPECT_EQ(0x600dcafeULL, regs.rsi);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_TSC_AUX, &value));
	EXPECT_EQ(0x600dcafeU, value);
}

TEST_HARNESS_MAIN
