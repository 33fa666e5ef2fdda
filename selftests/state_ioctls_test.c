// SPDX-License-Identifier: GPL-2.0
/* The smaller state: x87 and SSE, debug registers, XCR0. */
#include "lib/harness.h"

#include <sys/ioctl.h>

#include "lib/cpuid.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/vm.h"

FIXTURE(state) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(state)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
}

FIXTURE_TEARDOWN(state)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/* XMM0 to XMM15 shifted by one register, and MXCSR, for userspace to read. */
GUEST_ASM(sse, 64,
	"	movdqa %xmm0, 0x20000\n"
	"	movdqa %xmm15, 0x20010\n"
	"	movdqa %xmm7, %xmm0\n"
	"	stmxcsr 0x20020\n"
	"	fnstcw 0x20028\n"
	"	movl $0x3f80, 0x20030\n"
	"	ldmxcsr 0x20030\n"
	"	hlt\n");

static void fill_fpu(struct kvm_fpu *fpu)
{
	memset(fpu, 0, sizeof(*fpu));
	fpu->fcw = 0x0c7f;
	fpu->ftwx = 0xff;
	fpu->mxcsr = 0x5f80;
	for (int i = 0; i < 8; i++) {
		for (int byte = 0; byte < 10; byte++)
			fpu->fpr[i][byte] = 0x10 * i + byte;
	}
	for (int i = 0; i < 16; i++)
		memset(fpu->xmm[i], 0x11 + i, sizeof(fpu->xmm[i]));
}

TEST_F(state, fpu_is_kept_and_reaches_the_guest_and_back)
{
	struct kvm_fpu set, got;

	vm_load(&self->vm, GUEST_CODE, sse);
	if (!device_is_vregcache()) {
		/* KVM does not mark the registers as in use, so they must be in use already. */
		ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
		vcpu_set_rip(&self->vcpu, GUEST_CODE);
	}
	fill_fpu(&set);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_FPU, &set));
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_FPU, &got));
	EXPECT_EQ(set.fcw, got.fcw);
	EXPECT_EQ(set.ftwx, got.ftwx);
	EXPECT_EQ(0, memcmp(set.fpr, got.fpr, sizeof(set.fpr)));
	EXPECT_EQ(0, memcmp(set.xmm, got.xmm, sizeof(set.xmm)));

	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0, memcmp(set.xmm[0], vm_at(&self->vm, GUEST_DATA), 16));
	EXPECT_EQ(0, memcmp(set.xmm[15], vm_at(&self->vm, GUEST_DATA + 0x10), 16));
	/* That guest does not use x87: on KVM a CPU that tracks the state in use keeps it in its initial state. */
	if (device_is_vregcache())
		EXPECT_EQ(set.fcw, *(uint16_t *)vm_at(&self->vm, GUEST_DATA + 0x28));
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_FPU, &got));
	EXPECT_EQ(0, memcmp(set.xmm[7], got.xmm[0], 16));
	EXPECT_EQ(0, memcmp(set.xmm[1], got.xmm[1], 15 * 16));
	/* KVM's ioctl leaves MXCSR out. */
	if (device_is_vregcache()) {
		EXPECT_EQ(set.mxcsr, *(uint32_t *)vm_at(&self->vm, GUEST_DATA + 0x20));
		EXPECT_EQ(0x3f80U, got.mxcsr);
	}
}

TEST_F(state, reserved_mxcsr_bits_do_no_harm)
{
	struct kvm_fpu set;
	long error;

	fill_fpu(&set);
	set.mxcsr = 0xffffffff;
	error = ioctl_ptr(self->vcpu.fd, KVM_SET_FPU, &set);
	EXPECT_TRUE(error == 0 || error == -EINVAL);
	/* Loading them would fault in the kernel. */
	vm_load(&self->vm, GUEST_CODE, sse);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

GUEST_ASM(debug, 64,
	"	mov %dr0, %rax\n"
	"	mov %dr1, %rbx\n"
	"	mov %dr2, %rcx\n"
	"	mov %dr3, %rdx\n"
	"	mov %dr7, %rsi\n"
	"	mov $0x7777, %edi\n"
	"	mov %rdi, %dr2\n"
	"	hlt\n");

TEST_F(state, debug_registers_are_kept_and_reach_the_guest_and_back)
{
	struct kvm_debugregs set = {
		.db = { 0x1000, 0x2000, 0x3000, 0x4000 }, .dr6 = 0xffff0ff0, .dr7 = 0x455,
	};
	struct kvm_debugregs got;
	struct kvm_regs regs;

	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &set));
	memset(&got, 0xff, sizeof(got));
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_DEBUGREGS, &got));
	EXPECT_EQ(0, memcmp(set.db, got.db, sizeof(set.db)));
	EXPECT_EQ(set.dr6, got.dr6);
	EXPECT_EQ(set.dr7, got.dr7);

	vm_load(&self->vm, GUEST_CODE, debug);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x1000ULL, regs.rax);
	EXPECT_EQ(0x2000ULL, regs.rbx);
	EXPECT_EQ(0x3000ULL, regs.rcx);
	EXPECT_EQ(0x4000ULL, regs.rdx);
	EXPECT_EQ(0x455ULL, regs.rsi);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_DEBUGREGS, &got));
	EXPECT_EQ(0x7777ULL, got.db[2]);
	EXPECT_EQ(0x4000ULL, got.db[3]);
}

TEST_F(state, debug_registers_with_high_bits_are_refused)
{
	struct kvm_debugregs bad = { .dr6 = 1UL << 32 | 0xffff0ff0, .dr7 = 0x400 };

	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &bad));
	bad = (struct kvm_debugregs) { .dr6 = 0xffff0ff0, .dr7 = 1UL << 32 | 0x400 };
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &bad));
	bad = (struct kvm_debugregs) { .dr6 = 0xffff0ff0, .dr7 = 0x400, .flags = 1 };
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &bad));
}

/* A breakpoint on the second NOP, and one on writes to a word. */
GUEST_ASM(breakpoint, 64,
	"	nop\n"
	"	nop\n"
	"	hlt\n"
	"	movl $1, 0x20000\n"
	"	hlt\n");

TEST_F(state, guest_takes_its_own_breakpoints)
{
	struct kvm_debugregs set = { .db = { GUEST_CODE + 1, GUEST_DATA }, .dr6 = 0xffff0ff0 };

	/* L0: execution, one byte. L1: writes, four bytes. */
	if (machine_is_tcg())
		SKIP(return, "this machine arms no breakpoints for guests");
	set.dr7 = 0x400 | 1 << 0 | 1 << 2 | 0xdUL << 20;
	vm_load(&self->vm, GUEST_CODE, breakpoint);
	vcpu_install_idt64(&self->vcpu);
	vm_write64(&self->vm, GUEST_EXC_RECORD + EXC_RESUME, GUEST_CODE + 2);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &set));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(1U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_COUNT));
	EXPECT_EQ(1U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR));
	EXPECT_EQ(GUEST_CODE + 1U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_RIP));
	EXPECT_EQ(1U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_DR6) & 0xf);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(2U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_COUNT));
	EXPECT_EQ(2U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_DR6) & 2);
}

TEST_F(state, xcr0_is_kept_and_impossible_values_are_refused)
{
	static const uint64_t bad[] = { 0, 2, 4, 5, 1UL << 62, 1UL << 63 | 1 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 3 };

	if (!vcpu_has_xsave(&self->vcpu))
		SKIP(return, "no XSAVE");
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		xcrs = (struct kvm_xcrs) { .nr_xcrs = 1, .xcrs[0].value = bad[i] };
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs))
			TH_LOG("%#lx", bad[i]);
	}
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_XCRS, &xcrs));
	EXPECT_EQ(1U, xcrs.nr_xcrs);
	EXPECT_EQ(3U, xcrs.xcrs[0].value);
	xcrs = (struct kvm_xcrs) { .nr_xcrs = KVM_MAX_XCRS + 1 };
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	xcrs = (struct kvm_xcrs) { .nr_xcrs = 1, .flags = 1, .xcrs[0].value = 1 };
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
}

TEST_HARNESS_MAIN
