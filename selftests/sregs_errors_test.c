// SPDX-License-Identifier: GPL-2.0
/*
 * Special registers that no processor can hold are refused as a whole: not one
 * byte of the vCPU's old state is changed.
 */
#include "lib/harness.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define NON_CANONICAL 0x1000000000000000UL
#define APIC_BASE_EXTD (1UL << 10)
#define APIC_BASE_ENABLE (1UL << 11)

FIXTURE(refused) {
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs sregs;
};

FIXTURE_SETUP(refused)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &self->sregs);
}

FIXTURE_TEARDOWN(refused)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

/*
 * Whether these registers are refused without any effect. Everything else in
 * them is changed too, so that a partial update is detected.
 */
static int refused_without_trace(struct vcpu *vcpu, const struct kvm_sregs *bad)
{
	struct kvm_sregs before, after, attempt = *bad;
	struct kvm_regs regs_before, regs_after;
	uint64_t gs_before, gs_after;
	long error;

	attempt.cr2 ^= 0x1234567000;
	attempt.gdt.limit ^= 0x10;
	attempt.idt.limit ^= 0x20;
	attempt.es.selector ^= 0x40;
	attempt.tr.selector ^= 0x40;
	attempt.fs.limit ^= 0xf000;
	vcpu_get_sregs(vcpu, &before);
	vcpu_get_regs(vcpu, &regs_before);
	vcpu_get_msr(vcpu, 0xc0000101, &gs_before);
	error = ioctl_ptr(vcpu->fd, KVM_SET_SREGS, &attempt);
	vcpu_get_sregs(vcpu, &after);
	vcpu_get_regs(vcpu, &regs_after);
	vcpu_get_msr(vcpu, 0xc0000101, &gs_after);
	return error == -EINVAL && !memcmp(&before, &after, sizeof(before)) &&
	       !memcmp(&regs_before, &regs_after, sizeof(regs_before)) && gs_before == gs_after;
}

#define EXPECT_REFUSED(sregs) EXPECT_TRUE(refused_without_trace(&self->vcpu, (sregs)))

/* Linux 6.1's KVM accepts these, and fails in KVM_RUN. */
#define SKIP_IF_LENIENT() do {						\
	if (!device_is_vregcache())					\
		SKIP(return, "%s may take these", device_path());	\
} while (0)

TEST_F(refused, the_registers_themselves_are_accepted)
{
	struct kvm_sregs sregs = self->sregs;

	/* Otherwise the refusals below might have another reason. */
	sregs.cr2 ^= 0x1234567000;
	sregs.gdt.limit ^= 0x10;
	sregs.idt.limit ^= 0x20;
	sregs.es.selector ^= 0x40;
	sregs.tr.selector ^= 0x40;
	sregs.fs.limit ^= 0xf000;
	EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &sregs));
}

TEST_F(refused, cr0_bits_63_to_32)
{
	struct kvm_sregs sregs = self->sregs;

	SKIP_IF_LENIENT();
	for (int bit = 32; bit < 64; bit++) {
		sregs.cr0 = self->sregs.cr0 | 1UL << bit;
		EXPECT_REFUSED(&sregs)
			TH_LOG("bit %d", bit);
	}
}

TEST_F(refused, cr0_nw_without_cd)
{
	struct kvm_sregs sregs = self->sregs;

	SKIP_IF_LENIENT();
	sregs.cr0 |= CR0_NW;
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, cr0_pg_without_pe)
{
	struct kvm_sregs sregs = self->sregs;

	SKIP_IF_LENIENT();
	sregs.cr0 &= ~CR0_PE;
	EXPECT_REFUSED(&sregs);
	sregs.efer = 0;
	sregs.cs.l = 0;
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, cr4_bits_that_the_guest_does_not_have)
{
	/* VMXE and SMXE too: they are never offered to guests. */
	static const int bits[] = { 13, 14, 15, 26, 29, 30, 31, 33, 40, 63 };
	struct kvm_sregs sregs = self->sregs;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		sregs.cr4 = self->sregs.cr4 | 1UL << bits[i];
		EXPECT_REFUSED(&sregs)
			TH_LOG("bit %d", bits[i]);
	}
}

TEST_F(refused, reserved_efer_bits)
{
	static const int bits[] = { 1, 2, 7, 9, 16, 19, 31, 32, 63 };
	struct kvm_sregs sregs = self->sregs;

	SKIP_IF_LENIENT();
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		sregs.efer = self->sregs.efer | 1UL << bits[i];
		EXPECT_REFUSED(&sregs)
			TH_LOG("bit %d", bits[i]);
	}
}

TEST_F(refused, long_mode_without_pae)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.cr4 &= ~CR4_PAE;
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, long_mode_enabled_and_paging_but_not_active)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.efer &= ~EFER_LMA;
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, long_mode_active_but_not_enabled)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.efer &= ~EFER_LME;
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, long_mode_active_without_paging)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.cr0 &= ~CR0_PG;
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, sixty_four_bit_code_outside_long_mode)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.efer = 0;
	EXPECT_EQ(1, sregs.cs.l);
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, cr3_beyond_physical_addresses_in_long_mode)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.cr3 |= 1UL << 62;
	EXPECT_REFUSED(&sregs);
}

TEST_F(refused, bases_that_are_not_canonical_in_long_mode)
{
	struct kvm_sregs sregs = self->sregs;
	__u64 *bases[] = {
		&sregs.gdt.base, &sregs.idt.base, &sregs.fs.base, &sregs.gs.base, &sregs.tr.base,
	};

	SKIP_IF_LENIENT();
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		sregs = self->sregs;
		*bases[i] = NON_CANONICAL;
		EXPECT_REFUSED(&sregs)
			TH_LOG("base %zu", i);
	}
}

TEST_F(refused, apic_base_in_x2apic_mode_but_disabled)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.apic_base &= ~APIC_BASE_ENABLE;
	sregs.apic_base |= APIC_BASE_EXTD;
	EXPECT_REFUSED(&sregs);
}

GUEST_ASM(halt, 64, "hlt\n");

TEST_F(refused, guest_runs_after_all_refusals)
{
	struct kvm_sregs sregs = self->sregs;

	sregs.cr4 |= 1UL << 31;
	EXPECT_REFUSED(&sregs);
	sregs = self->sregs;
	sregs.efer &= ~EFER_LMA;
	EXPECT_REFUSED(&sregs);
	vm_load(&self->vm, GUEST_CODE, halt);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

TEST_HARNESS_MAIN
