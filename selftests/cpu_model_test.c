// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's CPUID defines its CPU: a register, MSR, instruction or address bit that CPUID does not announce does not
 * exist, neither for the guest nor for values that userspace sets. And CPUID returns what it would on such a CPU.
 */
#include "lib/harness.h"

#include <cpuid.h>
#include <sys/ioctl.h>

#include "lib/cpuid.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define MSR_APIC_BASE		0x1b
#define MSR_SYSENTER_EIP	0x176
#define MSR_PAT			0x277
#define MSR_EFER		0xc0000080
#define MSR_LSTAR		0xc0000082
#define MSR_TSC_AUX		0xc0000103

#define GUEST_STATE		0x80000021ULL
#define INVALID_OPCODE		6
#define GENERAL_PROTECTION	13
#define PAGE_FAULT		14

#define LEAF1_EDX_PGE		(1U << 13)
#define LEAF1_EDX_SEP		(1U << 11)
#define LEAF1_EDX_PAT		(1U << 16)
#define LEAF7_ECX_RDPID		(1U << 22)
#define EXTENDED_EDX_NX		(1U << 20)
#define EXTENDED_EDX_RDTSCP	(1U << 27)
#define EXTENDED_EDX_LM		(1U << 29)

FIXTURE(model) {
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_cpuid2 *cpuid;
};

FIXTURE_SETUP(model)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create_without_cpuid(&self->vcpu, &self->vm, 0);
	self->cpuid = cpuid_supported(self->vm.dev);
}

FIXTURE_TEARDOWN(model)
{
	free(self->cpuid);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static struct kvm_cpuid_entry2 *leaf(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, function, index);

	if (!entry)
		die("CPUID has no entry %#x, %u", function, index);
	return entry;
}

static void set_cpuid(struct vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	if (ioctl_ptr(vcpu->fd, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2");
}

/* ---- one instruction in a 32-bit or 64-bit guest ---- */

#define TRY_BYTES	16
#define TRY(op)		(GUEST_CODE + TRY_BYTES * (op))
enum op { WRMSR, RDMSR, MOV_CR3, MOV_CR4, RDTSCP, LOAD, OUTS, CPUID, XSETBV, RDPID, OPS };
#define HALT		(GUEST_CODE + 0x100)

/* RAX and RCX are the operands; MOV to a control register takes RAX. */
GUEST_ASM(try64, 64,
	"0:	wrmsr\n	hlt\n"
	"	.org 0b + 0x10\n	rdmsr\n	hlt\n"
	"	.org 0b + 0x20\n	mov %rax, %cr3\n	hlt\n"
	"	.org 0b + 0x30\n	mov %rax, %cr4\n	hlt\n"
	"	.org 0b + 0x40\n	rdtscp\n	hlt\n"
	"	.org 0b + 0x50\n	movl (%rsi), %eax\n	hlt\n"
	"	.org 0b + 0x60\n	outsl\n	hlt\n"
	"	.org 0b + 0x70\n	cpuid\n	hlt\n"
	"	.org 0b + 0x80\n	xsetbv\n	hlt\n"
	"	.org 0b + 0x90\n	rdpid %rax\n	hlt\n"
	"	.org 0b + 0x100\n	hlt\n");

GUEST_ASM(try32, 32,
	"0:	wrmsr\n	hlt\n"
	"	.org 0b + 0x10\n	rdmsr\n	hlt\n"
	"	.org 0b + 0x20\n	mov %eax, %cr3\n	hlt\n"
	"	.org 0b + 0x30\n	mov %eax, %cr4\n	hlt\n"
	"	.org 0b + 0x100\n	hlt\n");

static void start64(struct vcpu *vcpu)
{
	vcpu_enter_long(vcpu);
	vcpu_install_idt64(vcpu);
	vm_load(vcpu->vm, GUEST_CODE, try64);
}

static void start32(struct vcpu *vcpu)
{
	vcpu_enter_protected(vcpu);
	vcpu_install_idt32(vcpu);
	vm_load(vcpu->vm, GUEST_CODE, try32);
}

/* The vector of the exception that it raises, or -1. */
static int try(struct vcpu *vcpu, enum op op, uint64_t rax, uint64_t rcx, struct kvm_regs *regs)
{
	uint64_t *record = vm_at(vcpu->vm, GUEST_EXC_RECORD);

	*regs = (struct kvm_regs) {
		.rip = TRY(op), .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rax = rax, .rcx = rcx, .rdx = rax >> 32,
		.rsi = rax,
	};
	if (op == OUTS)
		regs->rdx = PORT_TEST;
	memset(record, 0, EXC_RESUME);
	record[EXC_RESUME / 8] = HALT;
	vcpu_set_regs(vcpu, regs);
	if (vcpu_run(vcpu) == KVM_EXIT_IO)
		vcpu_run(vcpu);
	if (vcpu->run->exit_reason != KVM_EXIT_HLT)
		die("exit reason %u", vcpu->run->exit_reason);
	vcpu_get_regs(vcpu, regs);
	return record[EXC_COUNT / 8] ? (int)record[EXC_VECTOR / 8] : -1;
}

static uint64_t error_code(struct vm *vm)
{
	return vm_read64(vm, GUEST_EXC_RECORD + EXC_ERROR);
}

/* ---- EFER and other MSRs ---- */

TEST_F(model, efer_refuses_nxe_and_lme_without_their_features)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint64_t efer;

	leaf(self->cpuid, 0x80000001, 0)->edx &= ~(EXTENDED_EDX_NX | EXTENDED_EDX_LM);
	set_cpuid(&self->vcpu, self->cpuid);
	start32(&self->vcpu);
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, WRMSR, EFER_NX, MSR_EFER, &regs));
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, WRMSR, EFER_LME, MSR_EFER, &regs));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_EFER, &efer));
	EXPECT_EQ(0U, efer);
	if (!device_is_vregcache())
		SKIP(return, "%s accepts any value from userspace", device_path());
	EXPECT_FALSE(vcpu_set_msr(&self->vcpu, MSR_EFER, EFER_NX));
	EXPECT_TRUE(vcpu_set_msr(&self->vcpu, MSR_EFER, 0));
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.efer = EFER_NX;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &sregs));
}

TEST_F(model, efer_accepts_nxe_without_long_mode)
{
	struct kvm_regs regs;

	leaf(self->cpuid, 0x80000001, 0)->edx &= ~EXTENDED_EDX_LM;
	set_cpuid(&self->vcpu, self->cpuid);
	start32(&self->vcpu);
	EXPECT_EQ(-1, try(&self->vcpu, WRMSR, EFER_NX, MSR_EFER, &regs));
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, WRMSR, EFER_LME, MSR_EFER, &regs));
}

/* Userspace may save and restore MSRs that the guest does not have. */
#define EXPECT_NO_MSR(index)									\
	do {											\
		struct kvm_regs msr_regs;							\
		uint64_t msr_value;								\
												\
		EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, RDMSR, 0, (index), &msr_regs))	\
			TH_LOG("RDMSR %#x", (index));						\
		EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, WRMSR, 0, (index), &msr_regs))	\
			TH_LOG("WRMSR %#x", (index));						\
		EXPECT_TRUE(vcpu_get_msr(&self->vcpu, (index), &msr_value));			\
		EXPECT_TRUE(vcpu_set_msr(&self->vcpu, (index), msr_value));			\
	} while (0)

TEST_F(model, msrs_need_their_features)
{
	uint32_t msr;

	if (!device_is_vregcache())
		SKIP(return, "%s always has some of them", device_path());
	leaf(self->cpuid, 0x80000001, 0)->edx &= ~EXTENDED_EDX_LM;
	leaf(self->cpuid, 1, 0)->edx &= ~(LEAF1_EDX_SEP | LEAF1_EDX_PAT);
	set_cpuid(&self->vcpu, self->cpuid);
	start32(&self->vcpu);
	for (msr = 0x174; msr <= 0x176; msr++)
		EXPECT_NO_MSR(msr);
	EXPECT_NO_MSR(MSR_PAT);
	for (msr = 0xc0000081; msr <= 0xc0000084; msr++)
		EXPECT_NO_MSR(msr);
	for (msr = 0xc0000100; msr <= 0xc0000102; msr++)
		EXPECT_NO_MSR(msr);
}

TEST_F(model, rdtscp_and_tsc_aux_need_their_feature)
{
	struct kvm_cpuid_entry2 *extended = leaf(self->cpuid, 0x80000001, 0);
	struct kvm_regs regs;

	if (!(extended->edx & EXTENDED_EDX_RDTSCP))
		SKIP(return, "the CPU has no RDTSCP");
	extended->edx &= ~EXTENDED_EDX_RDTSCP;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	EXPECT_NO_MSR(MSR_TSC_AUX);
	EXPECT_EQ(INVALID_OPCODE, try(&self->vcpu, RDTSCP, 0, 0, &regs));
	/* The MSR exists again once its CPUID bit is set. */
	extended->edx |= EXTENDED_EDX_RDTSCP;
	if (ioctl_ptr(self->vcpu.fd, KVM_SET_CPUID2, self->cpuid))
		SKIP(return, "%s refuses another CPUID now", device_path());
	EXPECT_EQ(-1, try(&self->vcpu, WRMSR, 0x1234, MSR_TSC_AUX, &regs));
	EXPECT_EQ(-1, try(&self->vcpu, RDTSCP, 0, 0, &regs));
	EXPECT_EQ(0x1234U, regs.rcx);
}

/* RDPID comes with the MSR, too. */
TEST_F(model, rdpid_without_rdtscp_reads_tsc_aux)
{
	struct kvm_cpuid_entry2 *structured = cpuid_find(self->cpuid, 7, 0);
	struct kvm_cpuid_entry2 *extended = leaf(self->cpuid, 0x80000001, 0);
	unsigned int eax, ebx, ecx = 0, edx;
	struct kvm_regs regs;

	if (!(extended->edx & EXTENDED_EDX_RDTSCP) || !structured)
		SKIP(return, "the CPU has no RDTSCP, or no leaf 7");
	extended->edx &= ~EXTENDED_EDX_RDTSCP;
	structured->ecx |= LEAF7_ECX_RDPID;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	ASSERT_EQ(-1, try(&self->vcpu, WRMSR, 0x600dcafe, MSR_TSC_AUX, &regs));
	ASSERT_EQ(-1, try(&self->vcpu, RDMSR, 0, MSR_TSC_AUX, &regs));
	EXPECT_EQ(0x600dcafeU, regs.rax);
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ecx & LEAF7_ECX_RDPID))
		return;
	ASSERT_EQ(-1, try(&self->vcpu, RDPID, 0, 0, &regs));
	EXPECT_EQ(0x600dcafeU, regs.rax);
}

/* ---- CR4 ---- */

/* PGE is a bit that a guest changes without an exit, as long as its CPU has it. */
TEST_F(model, cr4_pge_needs_its_feature)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (!device_is_vregcache())
		SKIP(return, "%s does not check", device_path());
	leaf(self->cpuid, 1, 0)->edx &= ~LEAF1_EDX_PGE;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(-1, try(&self->vcpu, MOV_CR4, sregs.cr4 | CR4_TSD, 0, &regs));
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, MOV_CR4, sregs.cr4 | CR4_PGE, 0, &regs));
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(0U, sregs.cr4 & CR4_PGE);
	EXPECT_EQ(CR4_TSD, sregs.cr4 & CR4_TSD);
	sregs.cr4 |= CR4_PGE;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &sregs));
}

/* ---- XCR0 and the sizes of the XSAVE area ---- */

static int has_avx(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, 0xd, 0);

	return entry && entry->eax & 4;
}

TEST_F(model, set_xcrs_refuses_avx_without_its_feature)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };

	if (!has_avx(self->cpuid))
		SKIP(return, "the CPU has no AVX");
	leaf(self->cpuid, 0xd, 0)->eax = 3;
	set_cpuid(&self->vcpu, self->cpuid);
	xcrs.xcrs[0].value = 7;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	xcrs.xcrs[0].value = 3;
	EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
}

TEST_F(model, xsetbv_refuses_avx_without_its_feature)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (machine_is_tcg())
		SKIP(return, "QEMU executes XSETBV without an exit");
	if (!has_avx(self->cpuid))
		SKIP(return, "the CPU has no AVX");
	leaf(self->cpuid, 0xd, 0)->eax = 3;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.cr4 |= CR4_OSXSAVE;
	vcpu_set_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, XSETBV, 7, 0, &regs));
	EXPECT_EQ(-1, try(&self->vcpu, XSETBV, 1, 0, &regs));
}

static uint32_t end_of_component(struct kvm_cpuid2 *cpuid, uint32_t component)
{
	return leaf(cpuid, 0xd, component)->ebx + leaf(cpuid, 0xd, component)->eax;
}

TEST_F(model, cpuid_reports_the_size_of_the_xsave_area)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct kvm_cpuid_entry2 *supported;
	uint32_t size = 576;
	struct kvm_regs regs;

	if (!has_avx(self->cpuid))
		SKIP(return, "the CPU has no AVX");
	/* The device's own entries are consistent. */
	supported = leaf(self->cpuid, 0xd, 0);
	for (uint32_t i = 2; i < 32; i++) {
		if (supported->eax >> i & 1 && end_of_component(self->cpuid, i) > size)
			size = end_of_component(self->cpuid, i);
	}
	EXPECT_EQ(size, supported->ecx);
	/* Userspace sets the maximum size; the current size follows XCR0. */
	supported->ecx = 0x1230;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 0xd, 0, &regs));
	EXPECT_EQ(576U, regs.rbx);
	EXPECT_EQ(0x1230U, regs.rcx);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 0xd, 0, &regs));
	EXPECT_EQ(end_of_component(self->cpuid, 2), regs.rbx);
	EXPECT_EQ(0x1230U, regs.rcx);
}

/* It has AVX directly after the header. */
TEST_F(model, cpuid_reports_the_size_of_the_compacted_xsave_area)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct kvm_regs regs;

	if (!has_avx(self->cpuid) || !(leaf(self->cpuid, 0xd, 1)->eax & 2))
		SKIP(return, "the CPU has no AVX or no XSAVEC");
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 0xd, 1, &regs));
	EXPECT_EQ(576U, regs.rbx);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 0xd, 1, &regs));
	EXPECT_EQ(576 + leaf(self->cpuid, 0xd, 2)->eax, regs.rbx);
}

/* ---- leaves ---- */

TEST_F(model, get_cpuid_returns_the_values_the_guest_reads)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 3 };
	struct kvm_cpuid2 *got;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	leaf(self->cpuid, 1, 0)->ebx |= 0x5a000000;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &sregs);
	if (vcpu_has_xsave(&self->vcpu)) {
		sregs.cr4 |= CR4_OSXSAVE;
		ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	}
	vcpu_set_sregs(&self->vcpu, &sregs);
	got = cpuid_of_vcpu(&self->vcpu);
	ASSERT_EQ(self->cpuid->nent, got->nent);
	for (uint32_t i = 0; i < got->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &got->entries[i];

		ASSERT_EQ(-1, try(&self->vcpu, CPUID, entry->function, entry->index, &regs));
		EXPECT_TRUE(entry->eax == regs.rax && entry->ebx == regs.rbx && entry->ecx == regs.rcx &&
			    entry->edx == regs.rdx)
			TH_LOG("leaf %#x, %u: %#x %#x %#x %#x, guest %#llx %#llx %#llx %#llx", entry->function,
			       entry->index, entry->eax, entry->ebx, entry->ecx, entry->edx, regs.rax, regs.rbx, regs.rcx,
			       regs.rdx);
	}
	/* The APIC ID is the one that userspace set. */
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 1, 0, &regs));
	EXPECT_EQ(0x5aU, regs.rbx >> 24);
	free(got);
}

/* Without KVM_SET_CPUID2. Leaf 0xb may be absent: EBX is then 0, and software takes the ID of leaf 1. */
TEST_F(model, default_apic_id_is_the_vcpus_id)
{
	struct kvm_cpuid2 *got;
	struct kvm_regs regs;
	struct vcpu vcpu;

	if (!device_is_vregcache())
		SKIP(return, "the default CPUID of %s is empty", device_path());
	vcpu_create_without_cpuid(&vcpu, &self->vm, 3);
	got = cpuid_of_vcpu(&vcpu);
	EXPECT_EQ(3U, leaf(got, 1, 0)->ebx >> 24);
	free(got);
	start64(&vcpu);
	ASSERT_EQ(-1, try(&vcpu, CPUID, 1, 0, &regs));
	EXPECT_EQ(3U, regs.rbx >> 24);
	ASSERT_EQ(-1, try(&vcpu, CPUID, 0xb, 0, &regs));
	EXPECT_TRUE(!regs.rbx || regs.rdx == 3);
	vcpu_destroy(&vcpu);
}

static void set_vendor(struct kvm_cpuid2 *cpuid, const char *vendor)
{
	struct kvm_cpuid_entry2 *entry = leaf(cpuid, 0, 0);

	memcpy(&entry->ebx, vendor, 4);
	memcpy(&entry->edx, vendor + 4, 4);
	memcpy(&entry->ecx, vendor + 8, 4);
}

/* Numbers above the highest of each range. */
static const uint32_t out_of_range[] = { 0x20, 0x3fffffff, 0x40000050, 0x4fffffff, 0x50000000, 0x80000100, 0xc0000000, ~0U };

TEST_F(model, intel_leaf_out_of_range_reads_as_the_highest_basic_leaf)
{
	struct kvm_cpuid_entry2 highest;
	struct kvm_regs regs;

	set_vendor(self->cpuid, "GenuineIntel");
	/* A highest leaf with known contents, whatever the machine has. */
	leaf(self->cpuid, 0, 0)->eax = 0x10;
	highest = (struct kvm_cpuid_entry2) {
		.function = 0x10, .eax = 0x11111111, .ebx = 0x22222222, .ecx = 0x33333333, .edx = 0x44444444,
	};
	self->cpuid->entries[self->cpuid->nent++] = highest;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	for (size_t i = 0; i < sizeof(out_of_range) / sizeof(out_of_range[0]); i++) {
		ASSERT_EQ(-1, try(&self->vcpu, CPUID, out_of_range[i], 0, &regs));
		EXPECT_TRUE(regs.rax == highest.eax && regs.rbx == highest.ebx && regs.rcx == highest.ecx &&
			    regs.rdx == highest.edx)
			TH_LOG("leaf %#x: %#llx", out_of_range[i], regs.rax);
	}
	/* In range but absent. */
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 0xf, 0, &regs));
	EXPECT_EQ(0U, regs.rax | regs.rbx | regs.rcx | regs.rdx);
}

TEST_F(model, amd_leaf_out_of_range_reads_as_zero)
{
	struct kvm_regs regs;

	set_vendor(self->cpuid, "AuthenticAMD");
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	for (size_t i = 0; i < sizeof(out_of_range) / sizeof(out_of_range[0]); i++) {
		ASSERT_EQ(-1, try(&self->vcpu, CPUID, out_of_range[i], 0, &regs));
		EXPECT_EQ(0U, regs.rax | regs.rbx | regs.rcx | regs.rdx)
			TH_LOG("leaf %#x: %#llx", out_of_range[i], regs.rax);
	}
}

TEST_F(model, topology_subleaf_out_of_range_has_the_apic_id)
{
	struct kvm_regs regs;

	set_vendor(self->cpuid, "GenuineIntel");
	for (uint32_t i = 0; i < 2; i++) {
		self->cpuid->entries[self->cpuid->nent++] = (struct kvm_cpuid_entry2) {
			.function = 0xb, .index = i, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = 1, .ebx = 1 + i, .ecx = (i + 1) << 8 | i, .edx = 0x5a,
		};
	}
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 0xb, 1, &regs));
	EXPECT_EQ(2U, regs.rbx);
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 0xb, 0x107, &regs));
	EXPECT_EQ(0U, regs.rax);
	EXPECT_EQ(0U, regs.rbx);
	EXPECT_EQ(7U, regs.rcx);
	EXPECT_EQ(0x5aU, regs.rdx);
}

TEST_F(model, cpuid_apic_bit_follows_apic_base)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	leaf(self->cpuid, 1, 0)->edx |= 1 << 9;
	set_cpuid(&self->vcpu, self->cpuid);
	start64(&self->vcpu);
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 1, 0, &regs));
	EXPECT_EQ(1U, regs.rdx >> 9 & 1);
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.apic_base &= ~(1UL << 11);
	vcpu_set_sregs(&self->vcpu, &sregs);
	ASSERT_EQ(-1, try(&self->vcpu, CPUID, 1, 0, &regs));
	EXPECT_EQ(0U, regs.rdx >> 9 & 1);
}

/* ---- address width ---- */

#define NARROW		36
#define TOO_HIGH	(1UL << NARROW)
#define LINEAR		0x20000000UL
#define PTE_P		0x01UL
#define PTE_W		0x02UL

static void set_width(struct vcpu *vcpu, struct kvm_cpuid2 *cpuid, uint32_t width)
{
	struct kvm_cpuid_entry2 *sizes = leaf(cpuid, 0x80000008, 0);

	sizes->eax = (sizes->eax & ~0xffU) | width;
	set_cpuid(vcpu, cpuid);
}

TEST_F(model, registers_refuse_addresses_beyond_the_width)
{
	struct kvm_sregs sregs, attempt;
	struct kvm_regs regs;
	uint64_t base;

	if (!device_is_vregcache())
		SKIP(return, "%s leaves the check to the CPU", device_path());
	set_width(&self->vcpu, self->cpuid, NARROW);
	start64(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(-1, try(&self->vcpu, MOV_CR3, sregs.cr3, 0, &regs));
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, MOV_CR3, sregs.cr3 | TOO_HIGH, 0, &regs));
	EXPECT_EQ(-1, try(&self->vcpu, WRMSR, 0xfee00900, MSR_APIC_BASE, &regs));
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, WRMSR, 0xfee00900 | TOO_HIGH, MSR_APIC_BASE, &regs));
	EXPECT_FALSE(vcpu_set_msr(&self->vcpu, MSR_APIC_BASE, 0xfee00900 | TOO_HIGH));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_APIC_BASE, &base));
	EXPECT_EQ(0xfee00900U, base);
	attempt = sregs;
	attempt.cr3 |= TOO_HIGH;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &attempt));
	attempt = sregs;
	attempt.apic_base |= TOO_HIGH;
	EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &attempt));
}

/* 1 if the vCPU accepts a CR3 with this bit. */
static int cr3_accepts(struct vcpu *vcpu, int bit)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr3 |= 1UL << bit;
	return !ioctl_ptr(vcpu->fd, KVM_SET_SREGS, &sregs);
}

/* SDM Vol. 3A, 4.1.4: 36 bits without the leaf if CPUID has PAE, and no CPU has fewer than 32. */
TEST_F(model, width_is_36_without_its_leaf_and_at_least_32)
{
	struct kvm_cpuid_entry2 *sizes = leaf(self->cpuid, 0x80000008, 0);
	const uint32_t supported = sizes->eax & 0xff;

	if (!device_is_vregcache())
		SKIP(return, "%s leaves the check to the CPU", device_path());
	set_width(&self->vcpu, self->cpuid, 20);
	EXPECT_TRUE(cr3_accepts(&self->vcpu, 31));
	EXPECT_FALSE(cr3_accepts(&self->vcpu, 32));
	/* Out of the range of the extended leaves. */
	sizes->function = 0x80000100;
	set_cpuid(&self->vcpu, self->cpuid);
	EXPECT_TRUE(cr3_accepts(&self->vcpu, 35));
	if (supported > 36)
		EXPECT_FALSE(cr3_accepts(&self->vcpu, 36));
}

/* An access at LINEAR when the page, or the table above it, is at an address beyond the width. */
static void expect_reserved(struct __test_metadata *_metadata, struct vcpu *vcpu, enum op op)
{
	const uint64_t reserved = 0x09;
	struct vm *vm = vcpu->vm;
	struct kvm_regs regs;

	vm_write64(vm, GUEST_PD + (LINEAR >> 21) * 8, GUEST_FREE | PTE_P | PTE_W);
	vm_write64(vm, GUEST_FREE, (GUEST_FREE + PAGE_BYTES) | PTE_P | PTE_W);
	EXPECT_EQ(-1, try(vcpu, op, LINEAR, 0, &regs));
	for (int level = 0; level < 2; level++) {
		vm_write64(vm, level ? GUEST_PD + (LINEAR >> 21) * 8 : GUEST_FREE, TOO_HIGH | PTE_P | PTE_W);
		/* This drops the entries that the CPU holds. */
		EXPECT_EQ(-1, try(vcpu, MOV_CR3, GUEST_PML4, 0, &regs));
		EXPECT_EQ(PAGE_FAULT, try(vcpu, op, LINEAR, 0, &regs));
		EXPECT_EQ(reserved, error_code(vm));
		EXPECT_EQ(LINEAR, vm_read64(vm, GUEST_EXC_RECORD + EXC_CR2));
	}
}

TEST_F(model, outs_faults_on_page_tables_beyond_the_width)
{
	if (!device_is_vregcache())
		SKIP(return, "%s leaves the check to the CPU", device_path());
	set_width(&self->vcpu, self->cpuid, NARROW);
	start64(&self->vcpu);
	expect_reserved(_metadata, &self->vcpu, OUTS);
}

/* The CPU's own width is greater, so it accesses absent memory and exits. */
TEST_F(model, cpu_access_faults_on_page_tables_beyond_the_width)
{
	if (!device_is_vregcache())
		SKIP(return, "%s leaves the check to the CPU", device_path());
	if (machine_is_tcg())
		SKIP(return, "QEMU does not report the linear address of an access");
	set_width(&self->vcpu, self->cpuid, NARROW);
	start64(&self->vcpu);
	expect_reserved(_metadata, &self->vcpu, LOAD);
}

TEST_F(model, mov_to_cr3_refuses_pdptes_beyond_the_width)
{
	struct kvm_regs regs;

	if (!device_is_vregcache())
		SKIP(return, "%s leaves the check to the CPU", device_path());
	set_width(&self->vcpu, self->cpuid, NARROW);
	vcpu_enter_pae(&self->vcpu);
	vcpu_install_idt32(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, try32);
	EXPECT_EQ(-1, try(&self->vcpu, MOV_CR3, GUEST_PDPT_PAE, 0, &regs));
	vm_write64(&self->vm, GUEST_PDPT_PAE + 8, TOO_HIGH | PTE_P);
	EXPECT_EQ(GENERAL_PROTECTION, try(&self->vcpu, MOV_CR3, GUEST_PDPT_PAE, 0, &regs));
}

/* ---- a table that is set after state that it forbids ---- */

TEST_F(model, run_refuses_registers_that_new_cpuid_forbids)
{
	struct kvm_cpuid_entry2 *extended = leaf(self->cpuid, 0x80000001, 0);
	struct kvm_regs regs;

	if (!device_is_vregcache())
		SKIP(return, "%s does not check", device_path());
	start64(&self->vcpu);
	extended->edx &= ~EXTENDED_EDX_LM;
	set_cpuid(&self->vcpu, self->cpuid);
	ASSERT_EQ(0, ioctl(self->vcpu.fd, KVM_RUN, 0UL));
	EXPECT_EQ((uint32_t)KVM_EXIT_FAIL_ENTRY, self->vcpu.run->exit_reason);
	EXPECT_EQ(GUEST_STATE, self->vcpu.run->fail_entry.hardware_entry_failure_reason);
	/* This lasts until one of the two is fixed. */
	ASSERT_EQ(0, ioctl(self->vcpu.fd, KVM_RUN, 0UL));
	EXPECT_EQ((uint32_t)KVM_EXIT_FAIL_ENTRY, self->vcpu.run->exit_reason);
	extended->edx |= EXTENDED_EDX_LM;
	set_cpuid(&self->vcpu, self->cpuid);
	EXPECT_EQ(-1, try(&self->vcpu, CPUID, 0, 0, &regs));
}

TEST_HARNESS_MAIN
