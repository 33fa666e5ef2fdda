// SPDX-License-Identifier: GPL-2.0
/*
 * An NMI between a miss's VMREAD and its mark, and at each later instruction: the register in memory is never an old
 * value that is marked as available.
 */
#define _GNU_SOURCE
#include "lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "lib/vm.h"
#include "vregcache_test/vregcache_test.h"

/* With two CPUs the last test takes some 130 seconds, as Bochs counts time. */
#define TIMEOUT		400

/* Pages that the guest has not touched. */
#define FIRST_PAGE	0x30000
#define PAGE_STEP	0x4000

GUEST_ASM(halts, 64,
	"1:	hlt\n"
	"	jmp 1b\n");

GUEST_ASM(touches, 64,
	"	mov $" GUEST_STRING(FIRST_PAGE) ", %eax\n"
	"1:	movq $1, (%rax)\n"
	"	add $" GUEST_STRING(PAGE_STEP) ", %eax\n"
	"	hlt\n"
	"	jmp 1b\n");

FIXTURE(miss) {
	struct vm vm;
	struct vcpu vcpu;
	struct vrc_test_miss request;
};

FIXTURE_SETUP(miss)
{
	const char *reason = test_module_load();

	if (reason)
		SKIP(return, "%s", reason);
	if (pin_to_cpu(0))
		die("CPU 0");
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	memset(&self->request, 0, sizeof(self->request));
	self->request.vcpu = self->vcpu.fd;
}

FIXTURE_TEARDOWN(miss)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static void start_at(struct vm *vm, struct vcpu *vcpu, const uint8_t *code, const uint8_t *end)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED };

	vm_load_bytes(vm, GUEST_CODE, code, end - code);
	vcpu_set_regs(vcpu, &regs);
}

static void check_nmis(struct __test_metadata *_metadata, const struct vrc_test_miss *request)
{
	TH_LOG("%u NMIs at %u instructions: %u times old and not marked, %u times new and not yet marked, %u times marked",
	       request->nmis, request->instructions, request->stale_unavailable, request->fresh_unavailable,
	       request->fresh_available);
	EXPECT_LT(5, request->instructions);
	EXPECT_LE(1, request->stops);
	EXPECT_EQ(request->stops, request->nmis);
	/* They came before and after the value was cached, and before and after the mark. */
	EXPECT_LE(1, request->stale_unavailable);
	EXPECT_LE(1, request->fresh_unavailable);
	EXPECT_LE(1, request->fresh_available);
	EXPECT_EQ(request->nmis,
		  request->stale_unavailable + request->fresh_unavailable + request->fresh_available);
	EXPECT_EQ(0, request->wrong)
		TH_LOG("first %u bytes after VMREAD", request->wrong_offset);
}

static void read_slowly(struct __test_metadata *_metadata, struct vm *vm, struct vcpu *vcpu, uint32_t number,
			uint32_t field, uint64_t change)
{
	struct vrc_test_miss request = { .vcpu = vcpu->fd, .number = number };
	struct kvm_sregs sregs;

	start_at(vm, vcpu, guest_halts, guest_halts_end);
	/* The register is cached, then invalidated. */
	vcpu_get_sregs(vcpu, &sregs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(vcpu));
	request.stale = vmcs_read(vcpu, field);
	request.fresh = request.stale ^ change;
	vmcs_write(vcpu, field, request.fresh);

	strcpy(request.function, "vrc_cache_read_slowly");
	ASSERT_EQ(0, test_miss_begin(&request));
	vcpu_get_sregs(vcpu, &sregs);
	ASSERT_EQ(0, test_miss_end(&request));
	check_nmis(_metadata, &request);
}

TEST_F_TIMEOUT(miss, of_a_base_is_marked_after_its_value_is_stored, TIMEOUT)
{
	read_slowly(_metadata, &self->vm, &self->vcpu, CACHE_IDTR_BASE, VMCS_GUEST_IDTR_BASE, 0x5000);
}

TEST_F_TIMEOUT(miss, of_a_segment_is_marked_after_its_value_is_stored, TIMEOUT)
{
	read_slowly(_metadata, &self->vm, &self->vcpu, CACHE_BASE(FS), VMCS_BASE(FS), 0x7000);
}

TEST_F_TIMEOUT(miss, of_cr3_is_marked_after_its_value_is_stored, TIMEOUT)
{
	read_slowly(_metadata, &self->vm, &self->vcpu, CACHE_CR3, VMCS_GUEST_CR3, 0x8);
}

/*
 * Several registers are read together: inline, or in a function of the cache if the kernel has lockdep and the module
 * checks each read.
 */
TEST_F_TIMEOUT(miss, of_several_is_marked_after_their_values_are_stored, TIMEOUT)
{
	static const char *const functions[] = {
		"vrc_handle_ept_violation", "vrc_cache_read_rest", "vrc_cache_read_rest_2", "vrc_cache_read_rest_3",
		"vrc_cache_read_rest_4", "vrc_cache_read_rest_5", "vrc_cache_read_rest_6",
	};
	unsigned int i;

	/* The other functions read other registers. */
	start_at(&self->vm, &self->vcpu, guest_touches, guest_touches_end);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	self->request.number = CACHE_GUEST_PHYSICAL_ADDRESS;
	for (i = 0; i < ARRAY_SIZE(functions) && !(self->request.fresh_unavailable && self->request.fresh_available); i++) {
		long error;

		self->request.stale = FIRST_PAGE + i * PAGE_STEP;
		self->request.fresh = self->request.stale + PAGE_STEP;
		strcpy(self->request.function, functions[i]);
		error = test_miss_begin(&self->request);
		EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
		if (error == -ENOENT || error == -ENODATA)
			continue;
		ASSERT_EQ(0, error);
		ASSERT_EQ(0, test_miss_end(&self->request));
	}
	check_nmis(_metadata, &self->request);
}

TEST_HARNESS_MAIN
