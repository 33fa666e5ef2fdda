// SPDX-License-Identifier: GPL-2.0
/* CPUID: as the device offers it, as userspace sets it, and as the guest sees it. */
#include "lib/harness.h"
#include "lib/cpuid.h"
#include "lib/modes.h"
#include "lib/vm.h"

/* In the range that no processor uses. */
#define OUR_LEAF 0x4000ff00u

FIXTURE(cpuid) {
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_cpuid2 *supported;
};

FIXTURE_SETUP(cpuid)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create_without_cpuid(&self->vcpu, &self->vm, 0);
	self->supported = cpuid_supported(self->vm.dev);
}

FIXTURE_TEARDOWN(cpuid)
{
	free(self->supported);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

TEST_F(cpuid, supported_leaves_describe_a_64_bit_cpu)
{
	struct kvm_cpuid_entry2 *leaf0 = cpuid_find(self->supported, 0, 0);
	struct kvm_cpuid_entry2 *leaf1 = cpuid_find(self->supported, 1, 0);
	struct kvm_cpuid_entry2 *extended = cpuid_find(self->supported, 0x80000001, 0);

	ASSERT_NE(NULL, leaf0);
	EXPECT_GE(leaf0->eax, 1U);
	ASSERT_NE(NULL, leaf1);
	/* FPU, TSC, MSR, PAE, SSE2. */
	EXPECT_EQ(0x04000071U, leaf1->edx & 0x04000071);
	ASSERT_NE(NULL, cpuid_find(self->supported, 0x80000000, 0));
	ASSERT_NE(NULL, extended);
	/* SYSCALL, NX, long mode. */
	EXPECT_EQ(0x20100800U, extended->edx & 0x20100800);
	/* Guests have no VMX. */
	EXPECT_EQ(0U, leaf1->ecx >> 5 & 1);
}

TEST_F(cpuid, supported_leaves_announce_a_hypervisor)
{
	struct kvm_cpuid_entry2 *leaf1 = cpuid_find(self->supported, 1, 0);
	struct kvm_cpuid_entry2 *hypervisor = cpuid_find(self->supported, 0x40000000, 0);
	char name[13] = { 0 };

	ASSERT_NE(NULL, leaf1);
	EXPECT_EQ(1U, leaf1->ecx >> 31);
	ASSERT_NE(NULL, hypervisor);
	EXPECT_LE(0x40000000U, hypervisor->eax);
	EXPECT_GT(0x40010000U, hypervisor->eax);
	memcpy(name, &hypervisor->ebx, 4);
	memcpy(name + 4, &hypervisor->ecx, 4);
	memcpy(name + 8, &hypervisor->edx, 4);
	EXPECT_STREQ(device_is_vregcache() ? "vregcache" : "KVMKVMKVM", name);
}

TEST_F(cpuid, supported_leaves_are_unique)
{
	struct kvm_cpuid_entry2 *entries = self->supported->entries;

	EXPECT_GE(self->supported->nent, 4U);
	EXPECT_LT(self->supported->nent, (unsigned int)MAX_CPUID_ENTRIES);
	for (uint32_t i = 0; i < self->supported->nent; i++) {
		for (uint32_t j = 0; j < i; j++) {
			EXPECT_FALSE(entries[i].function == entries[j].function && entries[i].index == entries[j].index)
				TH_LOG("leaf %#x, %u", entries[i].function, entries[i].index);
		}
	}
}

TEST_F(cpuid, supported_with_too_few_entries_is_e2big)
{
	struct kvm_cpuid2 *room = cpuid_supported(self->vm.dev);
	uint32_t needed = room->nent;

	for (uint32_t nent = 0; nent < needed; nent += needed / 2 ?: 1) {
		room->nent = nent;
		EXPECT_EQ(-E2BIG, ioctl_ptr(self->vm.dev, KVM_GET_SUPPORTED_CPUID, room));
	}
	room->nent = needed - 1;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vm.dev, KVM_GET_SUPPORTED_CPUID, room));
	room->nent = needed;
	EXPECT_EQ(0, ioctl_ptr(self->vm.dev, KVM_GET_SUPPORTED_CPUID, room));
	EXPECT_EQ(needed, room->nent);
	free(room);
}

/* The supported entries and two of our own, with an index. */
static void set_with_ours(struct vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	uint32_t i;

	for (i = 0; i < 2; i++) {
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2) {
			.function = OUR_LEAF, .index = i, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = 0x11111111 * (i + 1), .ebx = 0x01020304 + i, .ecx = 0xa0b0c0d0 + i, .edx = ~i,
		};
	}
	if (ioctl_ptr(vcpu->fd, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2");
}

static int same_answer(const struct kvm_cpuid_entry2 *one, const struct kvm_cpuid_entry2 *other)
{
	return one->eax == other->eax && one->ebx == other->ebx && one->ecx == other->ecx && one->edx == other->edx;
}

TEST_F(cpuid, get_returns_the_entries_that_were_set)
{
	struct kvm_cpuid2 *got;

	set_with_ours(&self->vcpu, self->supported);
	got = cpuid_of_vcpu(&self->vcpu);
	ASSERT_EQ(self->supported->nent, got->nent);
	for (uint32_t i = 0; i < got->nent; i++) {
		struct kvm_cpuid_entry2 *set = &self->supported->entries[i];
		struct kvm_cpuid_entry2 *now = &got->entries[i];

		EXPECT_EQ(set->function, now->function);
		EXPECT_EQ(set->index, now->index);
		EXPECT_EQ(set->flags, now->flags);
		/* These two follow the vCPU's state: OSXSAVE and the size of the XSAVE area. */
		if (set->function != 1 && set->function != 0xd) {
			EXPECT_TRUE(same_answer(set, now))
				TH_LOG("leaf %#x, %u", set->function, set->index);
		}
	}
	free(got);
}

TEST_F(cpuid, get_with_too_few_entries_is_e2big)
{
	set_with_ours(&self->vcpu, self->supported);
	self->supported->nent--;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_GET_CPUID2, self->supported));
	self->supported->nent = 0;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_GET_CPUID2, self->supported));
}

TEST_F(cpuid, set_with_too_many_entries_is_e2big_and_changes_nothing)
{
	struct kvm_cpuid2 *got;
	uint32_t nent;

	set_with_ours(&self->vcpu, self->supported);
	nent = self->supported->nent;
	self->supported->nent = 0xffffffff;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_SET_CPUID2, self->supported));
	self->supported->nent = MAX_CPUID_ENTRIES + 1;
	EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, KVM_SET_CPUID2, self->supported));
	got = cpuid_of_vcpu(&self->vcpu);
	EXPECT_EQ(nent, got->nent);
	free(got);
}

/* CPUID with EAX from ESI and ECX from EDI, to memory. */
GUEST_ASM(ask, 64,
	"1:	mov %esi, %eax\n"
	"	mov %edi, %ecx\n"
	"	cpuid\n"
	"	mov %eax, 0x20000\n"
	"	mov %ebx, 0x20004\n"
	"	mov %ecx, 0x20008\n"
	"	mov %edx, 0x2000c\n"
	"	hlt\n"
	"	jmp 1b\n");

static void ask_guest(struct vcpu *vcpu, uint32_t leaf, uint32_t index, struct kvm_cpuid_entry2 *answer)
{
	uint32_t *result = vm_at(vcpu->vm, GUEST_DATA);
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rsi = leaf;
	regs.rdi = index;
	vcpu_set_regs(vcpu, &regs);
	if (vcpu_run(vcpu) != KVM_EXIT_HLT)
		die("CPUID: exit reason %u", vcpu->run->exit_reason);
	answer->eax = result[0];
	answer->ebx = result[1];
	answer->ecx = result[2];
	answer->edx = result[3];
}

TEST_F(cpuid, guest_reads_the_entries_that_were_set)
{
	struct kvm_cpuid_entry2 answer;
	uint32_t compared = 0;

	set_with_ours(&self->vcpu, self->supported);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, ask);
	for (uint32_t i = 0; i < self->supported->nent; i++) {
		struct kvm_cpuid_entry2 *set = &self->supported->entries[i];

		if (set->function == 1 || set->function == 0xd)
			continue;
		ask_guest(&self->vcpu, set->function, set->index, &answer);
		EXPECT_TRUE(same_answer(set, &answer))
			TH_LOG("leaf %#x, %u", set->function, set->index);
		compared++;
	}
	EXPECT_GE(compared, 4U);
}

TEST_F(cpuid, index_selects_only_among_indexed_entries)
{
	struct kvm_cpuid_entry2 answer;
	struct kvm_cpuid_entry2 *leaf0 = cpuid_find(self->supported, 0, 0);

	set_with_ours(&self->vcpu, self->supported);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, ask);
	ask_guest(&self->vcpu, OUR_LEAF, 0, &answer);
	EXPECT_EQ(0x11111111U, answer.eax);
	ask_guest(&self->vcpu, OUR_LEAF, 1, &answer);
	EXPECT_EQ(0x22222222U, answer.eax);
	EXPECT_EQ(0xfffffffeU, answer.edx);
	ask_guest(&self->vcpu, 0, 0x12345, &answer);
	EXPECT_TRUE(same_answer(leaf0, &answer));
}

TEST_F(cpuid, osxsave_follows_cr4)
{
	struct kvm_cpuid_entry2 answer;
	struct kvm_sregs sregs;

	set_with_ours(&self->vcpu, self->supported);
	if (!vcpu_has_xsave(&self->vcpu))
		SKIP(return, "the CPU has no XSAVE");
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, ask);
	vcpu_get_sregs(&self->vcpu, &sregs);
	for (int on = 0; on < 2; on++) {
		sregs.cr4 = on ? sregs.cr4 | CR4_OSXSAVE : sregs.cr4 & ~CR4_OSXSAVE;
		vcpu_set_sregs(&self->vcpu, &sregs);
		ask_guest(&self->vcpu, 1, 0, &answer);
		EXPECT_EQ((uint32_t)on, answer.ecx >> 27 & 1);
	}
}

TEST_F(cpuid, each_vcpu_has_its_own_entries)
{
	struct kvm_cpuid2 *other_entries = cpuid_supported(self->vm.dev);
	struct kvm_cpuid2 *got;
	struct vcpu other;

	set_with_ours(&self->vcpu, self->supported);
	vcpu_create_without_cpuid(&other, &self->vm, 1);
	ASSERT_EQ(0, ioctl_ptr(other.fd, KVM_SET_CPUID2, other_entries));
	got = cpuid_of_vcpu(&self->vcpu);
	EXPECT_EQ(self->supported->nent, got->nent);
	free(got);
	got = cpuid_of_vcpu(&other);
	EXPECT_EQ(other_entries->nent, got->nent);
	EXPECT_EQ(self->supported->nent, got->nent + 2);
	free(got);
	free(other_entries);
	vcpu_destroy(&other);
}

TEST_HARNESS_MAIN
