// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_RUN completes an instruction that exited to userspace, with the registers as userspace left them, if the vCPU is
 * still at that instruction. kvm_run has the current state at every return. An ioctl that fails changes nothing.
 */
#include "lib/harness.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/cpuid.h"
#include "lib/event_log.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define OTHER_CODE	(GUEST_FREE + 0x8000)
#define UNTOUCHED	0x5a5a5a5aU

FIXTURE(completion) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(completion)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
}

FIXTURE_TEARDOWN(completion)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

GUEST_ASM(out16, 16, "out %al, $" GUEST_STRING(PORT_TEST) "\n	hlt\n");
GUEST_ASM(in16, 16, "in $" GUEST_STRING(PORT_TEST) ", %al\n	hlt\n");
/* Its first instruction is as long as an OUT. */
GUEST_ASM(other16, 16, "mov $0x77, %bl\n	hlt\n");

static void start_real(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_enter_real(vcpu);
	vm_load(vcpu->vm, OTHER_CODE, other16);
	vcpu_get_regs(vcpu, &regs);
	regs.rax = 0x1100;
	vcpu_set_regs(vcpu, &regs);
}

/* Leaves RIP unchanged. */
static void move_code_segment(struct vcpu *vcpu, uint64_t base)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs.base = base;
	sregs.cs.selector = base >> 4;
	vcpu_set_sregs(vcpu, &sregs);
}

TEST_F(completion, out_completes_after_userspace_moves_the_code_segment)
{
	struct kvm_regs regs;

	start_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, out16);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	move_code_segment(&self->vcpu, OTHER_CODE);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x77U, regs.rbx);
	EXPECT_EQ(3U, regs.rip);
}

TEST_F(completion, in_completes_after_userspace_moves_the_code_segment)
{
	struct kvm_regs regs;

	start_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, in16);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	*(uint8_t *)vcpu_io_data(&self->vcpu) = 0xaa;
	move_code_segment(&self->vcpu, OTHER_CODE);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x1100U, regs.rax);
	EXPECT_EQ(0x77U, regs.rbx);
}

TEST_F(completion, in_continues_at_the_same_linear_address)
{
	struct kvm_regs regs;

	start_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, in16);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	*(uint8_t *)vcpu_io_data(&self->vcpu) = 0xaa;
	move_code_segment(&self->vcpu, GUEST_CODE - 0x100);
	vcpu_set_rip(&self->vcpu, 0x100);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x11aaU, regs.rax);
	EXPECT_EQ(0x103U, regs.rip);
}

/* The segment is moved away and back, so the vCPU is at the IN again. */
TEST_F(completion, in_continues_after_the_code_segment_is_restored)
{
	struct kvm_regs regs;

	start_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, in16);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	*(uint8_t *)vcpu_io_data(&self->vcpu) = 0xaa;
	move_code_segment(&self->vcpu, OTHER_CODE);
	move_code_segment(&self->vcpu, GUEST_CODE);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x11aaU, regs.rax);
}

TEST_F(completion, new_rip_completes_the_instruction)
{
	struct kvm_regs regs;

	start_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, in16);
	vm_load(&self->vm, GUEST_CODE + 0x20, other16);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_set_rip(&self->vcpu, 0x20);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x1100U, regs.rax);
	EXPECT_EQ(0x77U, regs.rbx);
}

/* ---- state in kvm_run ---- */

GUEST_ASM(sti_out, 64, "sti\n	out %al, $" GUEST_STRING(PORT_TEST) "\n	hlt\n");

TEST_F(completion, kvm_run_has_the_state_after_completion)
{
	struct kvm_run *run = self->vcpu.run;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, sti_out);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	/* STI blocks until the OUT is complete. */
	EXPECT_EQ(1, run->if_flag);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	run->exit_reason = UNTOUCHED;
	run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
	run->immediate_exit = 0;
	EXPECT_EQ(1, run->if_flag);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	EXPECT_EQ(UNTOUCHED, run->exit_reason);
}

TEST_F(completion, kvm_run_has_the_values_set_by_ioctls)
{
	struct kvm_run *run = self->vcpu.run;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_enter_long(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags |= RFLAGS_IF;
	vcpu_set_regs(&self->vcpu, &regs);
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.apic_base = 0xfee00000;
	vcpu_set_sregs(&self->vcpu, &sregs);
	run->cr8 = 3;
	run->immediate_exit = 1;
	run->flags = 0xffff;
	EXPECT_EQ(-EINTR, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(1, run->if_flag);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	EXPECT_EQ(0xfee00000U, run->apic_base);
	EXPECT_EQ(3U, run->cr8);
	EXPECT_EQ(0U, run->flags);
}

/* A refused KVM_RUN does nothing: the OUT is still to be completed. */
TEST_F(completion, refused_run_changes_nothing)
{
	struct kvm_run *run = self->vcpu.run;
	struct kvm_regs before, after;

	if (!device_is_vregcache())
		SKIP(return, "%s has KVM_CAP_SYNC_REGS", device_path());
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, sti_out);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &before);
	run->exit_reason = UNTOUCHED;
	run->cr8 = 16;
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
	/* The register is unchanged. */
	EXPECT_EQ(0U, run->cr8);
	for (int bit = 0; bit < 64; bit++) {
		run->kvm_valid_regs = 1UL << bit;
		EXPECT_EQ(-EINVAL, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
		run->kvm_valid_regs = 0;
		run->kvm_dirty_regs = 1UL << bit;
		EXPECT_EQ(-EINVAL, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
		run->kvm_dirty_regs = 0;
	}
	EXPECT_EQ(UNTOUCHED, run->exit_reason);
	vcpu_get_regs(&self->vcpu, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

GUEST_ASM(task_priority, 64,
	"	mov $9, %eax\n"
	"	mov %rax, %cr8\n"
	"	mov %rax, %cr8\n"
	"	mov $4, %eax\n"
	"	mov %rax, %cr8\n"
	"	mov %cr8, %rbx\n"
	"	hlt\n");

/* The interrupt controller is in userspace, which may now have an interrupt to deliver. */
TEST_F(completion, lower_task_priority_is_reported)
{
	struct kvm_regs regs;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, task_priority);
	ASSERT_EQ(KVM_EXIT_SET_TPR, vcpu_run(&self->vcpu));
	EXPECT_EQ(4U, self->vcpu.run->cr8);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(4U, regs.rbx);
}

/* ---- changes by userspace during an exit ---- */

TEST_F(completion, single_step_set_by_userspace_follows_the_instruction)
{
	struct kvm_regs regs;

	vcpu_enter_long(&self->vcpu);
	vcpu_install_event_log(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, sti_out);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags |= RFLAGS_TF;
	vcpu_set_regs(&self->vcpu, &regs);
	vm_write64(&self->vm, EVENT_STOP, 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_EVENT, 1));
	ASSERT_EQ(1U, event_count(&self->vm));
	EXPECT_EQ(1U, event_at(&self->vm, 0)->vector);
	EXPECT_EQ(GUEST_CODE + 3UL, event_at(&self->vm, 0)->rip);
}

GUEST_ASM(rep_ins, 64, "cld\n	rep insb\n	hlt\n");

/* The bytes are stored according to RDI and RCX at completion. */
TEST_F(completion, ins_uses_registers_changed_by_userspace)
{
	uint8_t *there = vm_at(&self->vm, GUEST_FREE + 0x100), *elsewhere = vm_at(&self->vm, GUEST_FREE + 0x200);
	struct kvm_regs regs;

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, rep_ins);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rdi = GUEST_FREE + 0x100;
	regs.rcx = 4;
	regs.rdx = PORT_TEST;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(4U, self->vcpu.run->io.count);
	memcpy(vcpu_io_data(&self->vcpu), "abcd", 4);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rdi = GUEST_FREE + 0x200;
	regs.rcx = 2;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0, there[0]);
	EXPECT_EQ(0, memcmp(elsewhere, "ab\0\0", 4));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(GUEST_FREE + 0x202UL, regs.rdi);
	EXPECT_EQ(0U, regs.rcx);
}

GUEST_ASM(ins16, 16, "cld\n	insb\n	hlt\n");

TEST_F(completion, ins_uses_a_segment_changed_by_userspace)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_enter_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, ins16);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rdi = 0x10;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	*(uint8_t *)vcpu_io_data(&self->vcpu) = 0xab;
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.es.base = GUEST_FREE;
	sregs.es.selector = GUEST_FREE >> 4;
	vcpu_set_sregs(&self->vcpu, &sregs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0xabU, *(uint8_t *)vm_at(&self->vm, GUEST_FREE + 0x10));
	EXPECT_EQ(0U, *(uint8_t *)vm_at(&self->vm, GUEST_DATA + 0x10));
}

/* ---- ioctls that fail ---- */

#define MSR_SYSENTER_EIP	0x176
#define MSR_STAR		0xc0000081

/* The second entry is beyond the end of the mapping. */
TEST_F(completion, set_msrs_with_a_bad_pointer_sets_none)
{
	uint8_t *pages = host_alloc(2 * PAGE_BYTES);
	struct kvm_msrs *msrs = (void *)(pages + PAGE_BYTES - sizeof(*msrs) - sizeof(struct kvm_msr_entry));
	uint64_t before, after;

	munmap(pages + PAGE_BYTES, PAGE_BYTES);
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_SYSENTER_EIP, &before));
	msrs->nmsrs = 2;
	msrs->entries[0] = (struct kvm_msr_entry) { .index = MSR_SYSENTER_EIP, .data = before + 0x1000 };
	EXPECT_EQ(-EFAULT, ioctl_ptr(self->vcpu.fd, KVM_SET_MSRS, msrs));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_SYSENTER_EIP, &after));
	EXPECT_EQ(before, after);
	munmap(pages, PAGE_BYTES);
}

TEST_F(completion, set_xcrs_with_one_invalid_value_sets_none)
{
	struct kvm_xcrs xcrs, attempt;

	if (!vcpu_has_xsave(&self->vcpu))
		SKIP(return, "the CPU has no XSAVE");
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_XCRS, &xcrs));
	ASSERT_EQ(1U, xcrs.xcrs[0].value);
	attempt = xcrs;
	attempt.nr_xcrs = 2;
	attempt.xcrs[0].value = 3;
	attempt.xcrs[1] = (struct kvm_xcr) { .value = 2 };
	/* KVM checks only the first. */
	if (device_is_vregcache()) {
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &attempt));
		ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_XCRS, &xcrs));
		EXPECT_EQ(1U, xcrs.xcrs[0].value);
	}
}

TEST_F(completion, identity_map_must_be_set_before_the_first_vcpu)
{
	uint64_t address = 0xfffbc000;
	struct vm bare;

	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &address));
	vm_create_bare(&bare);
	EXPECT_EQ(0, ioctl_ptr(bare.fd, KVM_SET_IDENTITY_MAP_ADDR, &address));
	vm_destroy(&bare);
}

TEST_HARNESS_MAIN
