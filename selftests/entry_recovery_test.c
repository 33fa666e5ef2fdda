// SPDX-License-Identifier: GPL-2.0
/*
 * State after a failed VM-entry: pending events, the guest's registers, a vCPU
 * that runs on once its state is fixed. Also failures that are not caused by
 * the value of a field.
 */
#include "lib/harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "lib/cpus.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "lib/faults.h"
#include "vregcache_test/vregcache_test.h"

#define GUEST_STATE	0x80000021ULL
#define CONTROL_ERROR	7ULL
#define NOT_LAUNCHED	5ULL
#define DEBUG_EXCEPTION	1
#define MSR_EFER	0xc0000080

FIXTURE(entry) {
	struct vm vm;
	struct vcpu vcpu;
	struct kernel_log log;
	int verified;
};

/* Reports by OUT, then once more by HLT. */
GUEST_ASM(say, 64,
	"1:	out %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	hlt\n"
	"	inc %rax\n"
	"	jmp 1b\n");
/* OUT is two bytes long. */
#define AFTER_OUT (GUEST_CODE + 2)

FIXTURE_SETUP(entry)
{
	const char *reason = test_module_load();

	if (reason)
		SKIP(return, "%s", reason);
	/* Verification would report the changes that are made to the VMCS here. */
	self->verified = parameter_set("verify", 0);
	pin_here();
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, say);
	kernel_log_open(&self->log);
}

FIXTURE_TEARDOWN(entry)
{
	kernel_log_close(&self->log);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	parameter_set("verify", self->verified);
	test_module_unload();
}

/* The hardware's reason if KVM_RUN ends with KVM_EXIT_FAIL_ENTRY, else 0. */
static uint64_t failed_entry(struct vcpu *vcpu)
{
	long error = ioctl_errno(vcpu->fd, KVM_RUN, 0);

	if (error || vcpu->run->exit_reason != KVM_EXIT_FAIL_ENTRY)
		return 0;
	return vcpu->run->fail_entry.hardware_entry_failure_reason;
}

/* Leaves the vCPU after its OUT, with the #DB of a single step not yet delivered. */
static void make_debug_exception_pending(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_install_idt64(vcpu);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(vcpu));
	vcpu_get_regs(vcpu, &regs);
	regs.rflags |= RFLAGS_TF;
	vcpu_set_regs(vcpu, &regs);
	vcpu_complete_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	ASSERT_EQ((uint64_t)AFTER_OUT, regs.rip);
	ASSERT_EQ(0U, vm_read64(vcpu->vm, GUEST_EXC_RECORD + EXC_COUNT));
}

static void expect_debug_exception(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	/* The handler returns to the HLT, which is not single-stepped. */
	vm_write64(vm, GUEST_EXC_RECORD + EXC_RESUME, AFTER_OUT);
	EXPECT_EQ(0, vcpu_run_to_hlt(vcpu));
	EXPECT_EQ(1U, vm_read64(vm, GUEST_EXC_RECORD + EXC_COUNT));
	EXPECT_EQ((uint64_t)DEBUG_EXCEPTION, vm_read64(vm, GUEST_EXC_RECORD + EXC_VECTOR));
	EXPECT_EQ((uint64_t)AFTER_OUT, vm_read64(vm, GUEST_EXC_RECORD + EXC_RIP));
}

TEST_F(entry, event_waits_while_a_control_is_invalid)
{
	struct vcpu *vcpu = &self->vcpu;

	make_debug_exception_pending(_metadata, vcpu);
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0x200);
	for (int turn = 0; turn < 3; turn++) {
		EXPECT_EQ(CONTROL_ERROR, failed_entry(vcpu));
		/* The module has taken the event back. */
		EXPECT_EQ(0U, vmcs_read(vcpu, VMCS_ENTRY_INTERRUPTION) >> 31);
	}
	EXPECT_EQ(3U, kernel_log_count(&self->log, "CR3-target count is 0x200"));
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0);
	expect_debug_exception(_metadata, vcpu);
}

TEST_F(entry, event_waits_while_the_guests_state_is_invalid)
{
	struct vcpu *vcpu = &self->vcpu;
	uint64_t limit;

	make_debug_exception_pending(_metadata, vcpu);
	limit = vmcs_read(vcpu, VMCS_GUEST_GDTR_LIMIT);
	vmcs_write(vcpu, VMCS_GUEST_GDTR_LIMIT, 0x10000);
	for (int turn = 0; turn < 3; turn++) {
		EXPECT_EQ(GUEST_STATE, failed_entry(vcpu));
		EXPECT_EQ(0U, vmcs_read(vcpu, VMCS_ENTRY_INTERRUPTION) >> 31);
	}
	EXPECT_EQ(3U, kernel_log_count(&self->log, "guest GDTR limit is 0x10000"));
	vmcs_write(vcpu, VMCS_GUEST_GDTR_LIMIT, limit);
	expect_debug_exception(_metadata, vcpu);
}

/* An error in the event itself is found although the module takes the event back. */
TEST_F(entry, event_is_in_the_vmcs_when_the_checks_are_made)
{
	struct vcpu *vcpu = &self->vcpu;

	make_debug_exception_pending(_metadata, vcpu);
	/* Wait-for-SIPI with an event that does not end it; without that state the state itself is invalid. */
	vmcs_write(vcpu, VMCS_GUEST_ACTIVITY, 3);
	EXPECT_EQ(GUEST_STATE, failed_entry(vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.5: guest activity state is 0x3"));
	vmcs_write(vcpu, VMCS_GUEST_ACTIVITY, 0);
	expect_debug_exception(_metadata, vcpu);
}

/* RFLAGS.VM is allowed by itself, but not in IA-32e mode: KVM_RUN checks the combination. */
TEST_F(entry, set_regs_mends_rflags)
{
	struct kvm_regs good, bad, now;

	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &good);
	bad = good;
	bad.rflags |= RFLAGS_VM;
	bad.rax = 0x1234;
	vcpu_set_regs(&self->vcpu, &bad);
	EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.4: guest RFLAGS is 0x20002, "));
	/* Userspace reads back the values that it set. */
	vcpu_get_regs(&self->vcpu, &now);
	EXPECT_EQ(0, memcmp(&bad, &now, sizeof(bad)));
	vcpu_set_regs(&self->vcpu, &good);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
}

TEST_F(entry, set_sregs_mends_efer)
{
	struct kvm_sregs good;
	uint64_t efer;

	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &good);
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_EFER, good.efer & ~EFER_LME));
	EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.1: guest IA32_EFER is "));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_EFER, &efer));
	EXPECT_EQ(good.efer & ~EFER_LME, efer);
	vcpu_set_sregs(&self->vcpu, &good);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
}

/* State that no order of ioctls could make valid is refused at once; the log names the check. */
TEST_F(entry, set_sregs_refuses_segments)
{
	struct kvm_sregs good, bad, now;

	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &good);
	bad = good;
	bad.cs.s = 0;
	bad.gdt.base = 0x5000;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &bad));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.2: guest CS access rights is 0xa08b, S must be 1"));
	bad = good;
	bad.tr.type = 9;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &bad));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.2: guest TR access rights is 0x89, "));
	vcpu_get_sregs(&self->vcpu, &now);
	EXPECT_EQ(0, memcmp(&good, &now, sizeof(good)));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
}

/* The first entry is a VMLAUNCH. If it fails, the next one must be a VMLAUNCH again. */
TEST_F(entry, first_entry_may_fail)
{
	struct vcpu *vcpu = &self->vcpu;
	uint64_t limit = vmcs_read(vcpu, VMCS_GUEST_IDTR_LIMIT);

	/* Registers are written back before the controls are checked, so the limit then stays as the test sets it. */
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0x200);
	EXPECT_EQ(CONTROL_ERROR, failed_entry(vcpu));
	limit = vmcs_read(vcpu, VMCS_GUEST_IDTR_LIMIT);
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write(vcpu, VMCS_GUEST_IDTR_LIMIT, 0x20000);
	EXPECT_EQ(GUEST_STATE, failed_entry(vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "guest IDTR limit is 0x20000"));
	vmcs_write(vcpu, VMCS_GUEST_IDTR_LIMIT, limit);
	EXPECT_EQ(KVM_EXIT_IO, vcpu_run(vcpu));
	EXPECT_EQ(0, vcpu_run_to_hlt(vcpu));
}

/* A VMCS that was cleared behind the module's back is not current, and not launched when it is loaded again. */
TEST_F(entry, vmcs_that_is_not_current_and_not_launched)
{
	struct kvm_sregs sregs;
	struct vcpu other;

	vcpu_create(&other, &self->vm, 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(0, vmcs_try_clear(self->vcpu.fd));
	EXPECT_EQ(-EIO, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "VMfailInvalid: no VMCS is current"));

	/* The other VMCS becomes current, then this one again. */
	vcpu_get_sregs(&other, &sregs);
	EXPECT_EQ(NOT_LAUNCHED, failed_entry(&self->vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log,
				       "VMRESUME found a VMCS that is not launched (VM-instruction error 5)"));
	vcpu_destroy(&other);
}

/* The log is rate-limited until the test module is loaded, which lifts the limit. */
TEST_F(entry, failures_do_not_flood_the_log)
{
	struct kvm_regs regs;
	unsigned int lines;

	test_module_unload();
	kernel_log_skip(&self->log);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags |= RFLAGS_VM;
	vcpu_set_regs(&self->vcpu, &regs);
	for (int turn = 0; turn < 40; turn++)
		EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	lines = kernel_log_count(&self->log, "guest RFLAGS is 0x20002");
	/* Ten in five seconds, and the first interval may end in between. */
	EXPECT_GE(lines, 1U);
	EXPECT_LE(lines, 20U);
	ASSERT_EQ(NULL, test_module_load());
}

TEST_F(entry, test_module_takes_vcpus_of_this_process_only)
{
	struct vrc_test_field request = { .vcpu = self->vcpu.fd, .encoding = VMCS_GUEST_RIP };
	uint64_t value;
	int pipes[2];
	int device;
	pid_t child;
	int status;

	EXPECT_EQ(0, vmcs_try_read(self->vcpu.fd, VMCS_GUEST_RIP, &value));
	EXPECT_EQ(-EBADF, vmcs_try_read(-1, VMCS_GUEST_RIP, &value));
	EXPECT_EQ(-EBADF, vmcs_try_read(self->vm.fd, VMCS_GUEST_RIP, &value));
	EXPECT_EQ(-EBADF, vmcs_try_read(self->vm.dev, VMCS_GUEST_RIP, &value));
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EBADF, vmcs_try_write(pipes[0], VMCS_GUEST_RIP, 0));
	EXPECT_EQ(-EBADF, vmcs_try_clear(pipes[0]));
	close(pipes[0]);
	close(pipes[1]);

	/* A field that does not exist, read and written. */
	EXPECT_EQ(-EINVAL, vmcs_try_read(self->vcpu.fd, 0x7ffe, &value));
	EXPECT_EQ(-EINVAL, vmcs_try_write(self->vcpu.fd, 0x7ffe, 0));

	child = fork();
	if (child == 0)
		_exit(vmcs_try_read(self->vcpu.fd, VMCS_GUEST_RIP, &value) == -EIO ? 0 : 1);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);

	device = open("/dev/vregcache_test", O_RDWR | O_CLOEXEC);
	ASSERT_GE(device, 0);
	EXPECT_EQ(-ENOTTY, ioctl_errno(device, _IO(VRC_TEST_IOCTL_TYPE, 0xff), 0));
	EXPECT_EQ(-EFAULT, ioctl_errno(device, VRC_TEST_VMCS_READ, 0));
	EXPECT_EQ(0, ioctl_ptr(device, VRC_TEST_VMCS_READ, &request));
	EXPECT_EQ(vmcs_read(&self->vcpu, VMCS_GUEST_RIP), request.value);
	close(device);
}

TEST_HARNESS_MAIN
