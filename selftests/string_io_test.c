// SPDX-License-Identifier: GPL-2.0
/*
 * String I/O, whose memory the module accesses for the guest: paging and segmentation must have the same result as for
 * a MOV by the CPU itself at the same address, and no byte may be lost when the memory is removed midway.
 */
#include "lib/harness.h"

#include "lib/cpuid.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/vm.h"

/* One instruction every 16 bytes: a MOV, and the string instruction that does the same. */
enum op { LOAD, OUTS, STORE, INS, LOAD_SS, OUTS_SS, LOAD_FS, OUTS_FS, OPS };

#define OP_BYTES	16
#define OP_ADDRESS(op)	(GUEST_CODE + OP_BYTES * (op))
#define HALT_ADDRESS	(GUEST_CODE + 0x100)
#define WRPKRU_ADDRESS	(GUEST_CODE + 0x110)

GUEST_ASM(ops64, 64,
	"0:	movl (%rsi), %eax\n	hlt\n"
	"	.org 0b + 0x10\n	outsl\n	hlt\n"
	"	.org 0b + 0x20\n	movl %eax, (%rdi)\n	hlt\n"
	"	.org 0b + 0x30\n	insl\n	hlt\n"
	"	.org 0b + 0x60\n	movl %fs:(%rsi), %eax\n	hlt\n"
	"	.org 0b + 0x70\n	outsl %fs:(%rsi), %dx\n	hlt\n"
	"	.org 0b + 0x100\n	hlt\n"
	"	.org 0b + 0x110\n	wrpkru\n	hlt\n");

GUEST_ASM(ops32, 32,
	"0:	movl (%esi), %eax\n	hlt\n"
	"	.org 0b + 0x10\n	outsl\n	hlt\n"
	"	.org 0b + 0x20\n	movl %eax, %es:(%edi)\n	hlt\n"
	"	.org 0b + 0x30\n	insl\n	hlt\n"
	"	.org 0b + 0x40\n	movl %ss:(%esi), %eax\n	hlt\n"
	"	.org 0b + 0x50\n	outsl %ss:(%esi), %dx\n	hlt\n"
	"	.org 0b + 0x60\n	movl %fs:(%esi), %eax\n	hlt\n"
	"	.org 0b + 0x70\n	outsl %fs:(%esi), %dx\n	hlt\n"
	"	.org 0b + 0x100\n	hlt\n");

/* Handlers of #SS and #GP stop at addresses of their own. */
GUEST_ASM(ops16, 16,
	"0:	.org 0b + 0x10\n	outsl\n	hlt\n"
	"	.org 0b + 0x30\n	insl\n	hlt\n"
	"	.org 0b + 0x50\n	outsl %ss:(%si), %dx\n	hlt\n"
	"	.org 0b + 0x10c\n	hlt\n"
	"	.org 0b + 0x10d\n	hlt\n");

#define ERROR_PRESENT	0x01
#define ERROR_WRITE	0x02
#define ERROR_RESERVED	0x08
#define ERROR_KEY	0x20

#define PTE_P		0x01UL
#define PTE_W		0x02UL
#define PTE_U		0x04UL
#define PTE_A		0x20UL
#define PTE_D		0x40UL
#define PTE_PS		0x80UL
#define PTE_PW		(PTE_P | PTE_W)
#define PTE_NX		(1UL << 63)

#define CR4_SMAP	0x00200000UL

/* Linear addresses that the tests remap. */
#define LINEAR		0x20000000UL
#define TABLE		GUEST_FREE
#define TARGET		(GUEST_FREE + 0x1000)

FIXTURE(string_io) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(string_io)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
}

FIXTURE_TEARDOWN(string_io)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

struct outcome {
	/* 0: it succeeded. Else the exit reason, or KVM_EXIT_EXCEPTION for an exception in the guest. */
	uint32_t what;
	uint64_t vector, error, cr2, rip, guest_physical;
};

static struct outcome try_op(struct vcpu *vcpu, enum op op, uint64_t address)
{
	uint64_t *record = vm_at(vcpu->vm, GUEST_EXC_RECORD);
	struct kvm_regs regs = {
		.rip = OP_ADDRESS(op), .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rsi = address, .rdi = address,
		.rdx = PORT_TEST_DX,
	};
	struct outcome outcome = { 0 };

	memset(record, 0, EXC_RESUME);
	record[EXC_RESUME / 8] = HALT_ADDRESS;
	vcpu_set_regs(vcpu, &regs);
	outcome.what = vcpu_run(vcpu);
	if (outcome.what == KVM_EXIT_IO) {
		/* The rest of the instruction. */
		memset(vcpu_io_data(vcpu), 0x5a, 4);
		outcome.what = vcpu_run(vcpu);
	}
	if (outcome.what == KVM_EXIT_INTERNAL_ERROR)
		outcome.guest_physical = vcpu->run->internal.data[3];
	if (outcome.what != KVM_EXIT_HLT)
		return outcome;
	outcome.what = record[EXC_COUNT / 8] ? KVM_EXIT_EXCEPTION : 0;
	outcome.vector = record[EXC_VECTOR / 8];
	outcome.error = record[EXC_ERROR / 8];
	outcome.rip = record[EXC_RIP / 8] - (outcome.what ? OP_ADDRESS(op) : 0);
	if (outcome.vector == 14)
		outcome.cr2 = record[EXC_CR2 / 8];
	return outcome;
}

#define EXPECT_SAME(a, b)										\
	do {												\
		EXPECT_EQ((a).what, (b).what);								\
		EXPECT_EQ((a).vector, (b).vector);							\
		EXPECT_EQ((a).error, (b).error);							\
		EXPECT_EQ((a).cr2, (b).cr2);								\
		EXPECT_EQ((a).rip, (b).rip);								\
		EXPECT_EQ((a).guest_physical, (b).guest_physical);					\
	} while (0)

/* QEMU's software CPU sets the reserved bit without the present bit, which is impossible (SDM Vol. 3A, 4.7). */
static struct outcome try_cpu(struct vcpu *vcpu, enum op op, uint64_t address)
{
	struct outcome outcome = try_op(vcpu, op, address);

	if (machine_is_tcg() && outcome.error & ERROR_RESERVED)
		outcome.error |= ERROR_PRESENT;
	return outcome;
}

/* The CPU's MOV and the module's string instruction at @address both cause this page fault, on reads and on writes. */
#define EXPECT_PAGE_FAULT(address, error_code)								\
	do {												\
		struct outcome load = try_cpu(&self->vcpu, LOAD, (address));				\
		struct outcome outs = try_op(&self->vcpu, OUTS, (address));				\
		struct outcome store = try_cpu(&self->vcpu, STORE, (address));				\
		struct outcome ins = try_op(&self->vcpu, INS, (address));				\
													\
		EXPECT_EQ((uint32_t)KVM_EXIT_EXCEPTION, outs.what);					\
		EXPECT_EQ(14U, outs.vector);								\
		EXPECT_EQ((uint64_t)(error_code), outs.error);						\
		EXPECT_EQ((address), outs.cr2);								\
		EXPECT_SAME(load, outs);								\
		EXPECT_EQ((uint64_t)(error_code) | ERROR_WRITE, ins.error);				\
		EXPECT_SAME(store, ins);								\
	} while (0)

#define EXPECT_ALLOWED(address)										\
	do {												\
		EXPECT_EQ(0U, try_op(&self->vcpu, LOAD, (address)).what);				\
		EXPECT_EQ(0U, try_op(&self->vcpu, OUTS, (address)).what);				\
		EXPECT_EQ(0U, try_op(&self->vcpu, STORE, (address)).what);				\
		EXPECT_EQ(0U, try_op(&self->vcpu, INS, (address)).what);				\
	} while (0)

static void start_long(struct vcpu *vcpu)
{
	vcpu_enter_long(vcpu);
	vcpu_install_idt64(vcpu);
	vm_load(vcpu->vm, GUEST_CODE, ops64);
	/* A page of its own at LINEAR. */
	vm_write64(vcpu->vm, GUEST_PD + (LINEAR >> 21) * 8, TABLE | PTE_PW);
	vm_write64(vcpu->vm, TABLE, TARGET | PTE_PW);
}

static void start_32bit(struct vcpu *vcpu)
{
	vcpu_install_idt32(vcpu);
	vm_load(vcpu->vm, GUEST_CODE, ops32);
}

/* After a change of page tables: the CPU may have cached the old entries. */
static void flush(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	/* QEMU's software CPU marks the entries of PAE paging as accessed, which is a reserved bit in them. */
	for (uint64_t i = 0; i < 4; i++)
		vm_write64(vcpu->vm, GUEST_PDPT_PAE + 8 * i, vm_read64(vcpu->vm, GUEST_PDPT_PAE + 8 * i) & ~PTE_A);
	vcpu_get_sregs(vcpu, &sregs);
	vcpu_set_sregs(vcpu, &sregs);
}

static void change_sregs(struct vcpu *vcpu, uint64_t cr4_set, uint64_t efer_clear)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr4 |= cr4_set;
	sregs.efer &= ~efer_clear;
	vcpu_set_sregs(vcpu, &sregs);
}

/* The lowest address bit that no page-table entry may have, or 0 if there is none. */
static uint64_t address_bit_too_high(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_of_vcpu(vcpu);
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0x80000008, 0);
	uint32_t width = leaf ? leaf->eax & 0xff : 36;

	free(cpuid);
	/* The module reports 48 if there are more. */
	return width < 48 ? 1UL << width : 0;
}

TEST_F(string_io, page_fault_on_a_page_that_is_not_present)
{
	start_long(&self->vcpu);
	EXPECT_ALLOWED(LINEAR);
	/* 4 bytes at the end of a page continue in the next one, which is not present. */
	EXPECT_PAGE_FAULT(LINEAR + PAGE_BYTES, 0);
	EXPECT_EQ(LINEAR + PAGE_BYTES, try_op(&self->vcpu, OUTS, LINEAR + PAGE_BYTES - 2).cr2);
	EXPECT_EQ(LINEAR + PAGE_BYTES, try_op(&self->vcpu, INS, LINEAR + PAGE_BYTES - 2).cr2);
}

TEST_F(string_io, page_fault_on_write_to_a_read_only_page)
{
	start_long(&self->vcpu);
	vm_write64(&self->vm, TABLE, TARGET | PTE_P);
	flush(&self->vcpu);
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS, LINEAR).what);
	EXPECT_EQ((uint64_t)ERROR_PRESENT | ERROR_WRITE, try_op(&self->vcpu, INS, LINEAR).error);
	EXPECT_SAME(try_op(&self->vcpu, STORE, LINEAR), try_op(&self->vcpu, INS, LINEAR));
}

TEST_F(string_io, reserved_bits_of_long_mode)
{
	uint64_t high = address_bit_too_high(&self->vcpu);

	start_long(&self->vcpu);
	vm_write64(&self->vm, GUEST_PML4 + 8, GUEST_PDPT | PTE_PW | PTE_PS);
	EXPECT_PAGE_FAULT(1UL << 39, ERROR_PRESENT | ERROR_RESERVED);
	/* A misaligned 1 GiB page; where there is no such page, PS is reserved. */
	vm_write64(&self->vm, GUEST_PDPT + 3 * 8, PTE_PW | PTE_PS | 1UL << 13);
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(3UL << 30, ERROR_PRESENT | ERROR_RESERVED);
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, PTE_PW | PTE_PS | 1UL << 20);
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
	if (!high)
		return;
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, TABLE | PTE_PW);
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | high);
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | 1UL << 51);
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
	/* Bits 62:52 are free. */
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | 0x7ffUL << 52);
	flush(&self->vcpu);
	EXPECT_ALLOWED(LINEAR);
}

TEST_F(string_io, execute_disable_is_reserved_without_its_feature)
{
	start_long(&self->vcpu);
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | PTE_NX);
	EXPECT_ALLOWED(LINEAR);
	change_sregs(&self->vcpu, 0, EFER_NX);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
}

TEST_F(string_io, reserved_bits_of_pae_paging)
{
	vm_write_tables(&self->vm);
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, TABLE | PTE_PW);
	vcpu_enter_pae(&self->vcpu);
	start_32bit(&self->vcpu);
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, TABLE | PTE_PW);
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW);
	flush(&self->vcpu);
	EXPECT_ALLOWED(LINEAR);
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | 1UL << 62);
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
	/* EFER.NXE is clear here. */
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | PTE_NX);
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, PTE_PW | PTE_PS | 1UL << 13);
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
}

/* PAE paging uses the four entries that the CPU holds, even if those in memory have changed. */
TEST_F(string_io, pae_paging_uses_the_loaded_pdptes)
{
	const uint64_t linear = 1UL << 30;

	vcpu_enter_pae(&self->vcpu);
	start_32bit(&self->vcpu);
	vm_write64(&self->vm, GUEST_PD + (linear >> 21) * 8, PTE_PW | PTE_PS);
	EXPECT_ALLOWED(linear + TARGET);
	vm_write64(&self->vm, GUEST_PDPT_PAE + 8, 0);
	EXPECT_ALLOWED(linear + TARGET);
}

TEST_F(string_io, reserved_bits_of_32_bit_paging)
{
	uint32_t *directory = vm_at(&self->vm, GUEST_PD32);

	vcpu_enter_paging32(&self->vcpu);
	start_32bit(&self->vcpu);
	directory[LINEAR >> 22] = PTE_PW | PTE_PS;
	EXPECT_ALLOWED(LINEAR + TARGET);
	directory[LINEAR >> 22] = PTE_PW | PTE_PS | 1 << 21;
	flush(&self->vcpu);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_RESERVED);
}

static int has_smap(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_of_vcpu(vcpu);
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 7, 0);
	int found = leaf && leaf->ebx & 1 << 20;

	free(cpuid);
	return found;
}

TEST_F(string_io, supervisor_and_user_pages)
{
	if (!has_smap(&self->vcpu))
		SKIP(return, "the CPU has no SMAP");
	start_long(&self->vcpu);
	vm_write64(&self->vm, GUEST_PML4, GUEST_PDPT | PTE_PW | PTE_U);
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, TABLE | PTE_PW | PTE_U);
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | PTE_U);
	/* The first 2 MiB, with code, stack and tables, become the supervisor's. */
	vm_write64(&self->vm, GUEST_PD, PTE_PW | PTE_PS);
	flush(&self->vcpu);
	EXPECT_ALLOWED(LINEAR);
	change_sregs(&self->vcpu, CR4_SMAP, 0);
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT);
}

/*
 * Four paging structures of their own for APART, so that only the tested access marks their entries: the PML4's second
 * entry, and pages for the other levels.
 */
#define APART		(1UL << 39)
#define APART_TABLE(level)	(GUEST_FREE + 0x2000 + PAGE_BYTES * (level))
static const uint64_t apart_entry[] = { GUEST_PML4 + 8, APART_TABLE(0), APART_TABLE(1), APART_TABLE(2) };

#define LEVELS		4
#define LEAF		(LEVELS - 1)

static void map_apart(struct vcpu *vcpu, uint64_t rights)
{
	for (int level = 0; level < LEVELS; level++)
		vm_write64(vcpu->vm, apart_entry[level], (level == LEAF ? TARGET : APART_TABLE(level)) | rights);
	flush(vcpu);
}

TEST_F(string_io, accessed_is_set_at_each_level_and_dirty_in_the_leaf)
{
	start_long(&self->vcpu);
	for (int is_write = 0; is_write < 2; is_write++) {
		map_apart(&self->vcpu, PTE_PW);
		EXPECT_EQ(0U, try_op(&self->vcpu, is_write ? INS : OUTS, APART).what);
		for (int level = 0; level < LEVELS; level++) {
			EXPECT_EQ(PTE_A | (is_write && level == LEAF ? PTE_D : 0),
				  vm_read64(&self->vm, apart_entry[level]) & (PTE_A | PTE_D))
				TH_LOG("write %d, level %d", is_write, level);
		}
	}
}

/* The same with two levels of 32-bit entries, the upper one a 4 MiB page. */
TEST_F(string_io, accessed_and_dirty_are_set_in_32_bit_paging)
{
	uint32_t *entry = (uint32_t *)vm_at(&self->vm, GUEST_PD32) + (LINEAR >> 22);

	vcpu_enter_paging32(&self->vcpu);
	start_32bit(&self->vcpu);
	*entry = PTE_PW | PTE_PS;
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS, LINEAR + TARGET).what);
	EXPECT_EQ(PTE_A, *entry & (PTE_A | PTE_D));
	EXPECT_EQ(0U, try_op(&self->vcpu, INS, LINEAR + TARGET).what);
	EXPECT_EQ(PTE_A | PTE_D, *entry & (PTE_A | PTE_D));
}

/* A page is writable if the entries of all levels are (SDM Vol. 3A, 4.6). */
TEST_F(string_io, entry_without_write_permission_at_any_level)
{
	start_long(&self->vcpu);
	for (int level = 0; level < LEVELS; level++) {
		map_apart(&self->vcpu, PTE_PW);
		vm_write64(&self->vm, apart_entry[level], vm_read64(&self->vm, apart_entry[level]) & ~PTE_W);
		flush(&self->vcpu);
		EXPECT_EQ(0U, try_op(&self->vcpu, OUTS, APART).what);
		EXPECT_EQ((uint64_t)ERROR_PRESENT | ERROR_WRITE, try_op(&self->vcpu, INS, APART).error)
			TH_LOG("level %d", level);
		EXPECT_SAME(try_cpu(&self->vcpu, STORE, APART), try_op(&self->vcpu, INS, APART));
	}
}

/* A page is the user's if the entries of all levels are. SMAP forbids supervisor access to those pages only. */
TEST_F(string_io, entry_of_the_supervisor_at_any_level)
{
	if (!has_smap(&self->vcpu))
		SKIP(return, "the CPU has no SMAP");
	start_long(&self->vcpu);
	/* Code, stack and tables are the supervisor's. */
	vm_write64(&self->vm, GUEST_PD, PTE_PW | PTE_PS);
	change_sregs(&self->vcpu, CR4_SMAP, 0);
	map_apart(&self->vcpu, PTE_PW | PTE_U);
	EXPECT_PAGE_FAULT(APART, ERROR_PRESENT);
	for (int level = 0; level < LEVELS; level++) {
		map_apart(&self->vcpu, PTE_PW | PTE_U);
		vm_write64(&self->vm, apart_entry[level], vm_read64(&self->vm, apart_entry[level]) & ~PTE_U);
		flush(&self->vcpu);
		EXPECT_ALLOWED(APART);
	}
}

/* PSE-36: bits 20:13 of the entry are bits 39:32 of the address (SDM Vol. 3A, table 4-4). */
TEST_F(string_io, four_mib_page_above_4_gib)
{
	const uint64_t high = 1UL << 32, size = 4UL << 20;
	uint8_t *memory = host_alloc(size);
	uint32_t *directory = vm_at(&self->vm, GUEST_PD32);

	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, high, size, memory));
	vcpu_enter_paging32(&self->vcpu);
	start_32bit(&self->vcpu);
	directory[LINEAR >> 22] = PTE_PW | PTE_PS | high >> 32 << 13;
	flush(&self->vcpu);
	EXPECT_ALLOWED(LINEAR + 0x123450);
	/* INS was last. */
	EXPECT_EQ(0x5a5a5a5aU, *(uint32_t *)(memory + 0x123450));
	munmap(memory, size);
}

TEST_F(string_io, protection_keys)
{
	struct kvm_regs regs = { .rip = WRPKRU_ADDRESS, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK };

	if (!vcpu_has_pku(&self->vcpu))
		SKIP(return, "the CPU has no protection keys");
	start_long(&self->vcpu);
	vm_write64(&self->vm, GUEST_PML4, GUEST_PDPT | PTE_PW | PTE_U);
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, TABLE | PTE_PW | PTE_U);
	vm_write64(&self->vm, TABLE, TARGET | PTE_PW | PTE_U | 5UL << 59);
	change_sregs(&self->vcpu, CR4_PKE, 0);
	EXPECT_ALLOWED(LINEAR);
	/* Key 5 allows no access. */
	regs.rax = 1 << 10;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_PAGE_FAULT(LINEAR, ERROR_PRESENT | ERROR_KEY);
	/* Key 5 allows no writes. */
	regs.rax = 2 << 10;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS, LINEAR).what);
	EXPECT_SAME(try_op(&self->vcpu, STORE, LINEAR), try_op(&self->vcpu, INS, LINEAR));
	EXPECT_EQ((uint64_t)ERROR_PRESENT | ERROR_WRITE | ERROR_KEY, try_op(&self->vcpu, INS, LINEAR).error);
}

#define EXPECT_VECTOR(number, from)									\
	do {												\
		struct outcome got = (from);								\
													\
		EXPECT_EQ((uint32_t)KVM_EXIT_EXCEPTION, got.what);					\
		EXPECT_EQ((uint64_t)(number), got.vector);						\
		EXPECT_EQ(0U, got.error);								\
		EXPECT_EQ(0U, got.rip);									\
	} while (0)

TEST_F(string_io, addresses_that_are_not_canonical)
{
	start_long(&self->vcpu);
	EXPECT_VECTOR(13, try_op(&self->vcpu, OUTS, 1UL << 47));
	EXPECT_VECTOR(13, try_op(&self->vcpu, INS, 1UL << 47));
	EXPECT_VECTOR(13, try_op(&self->vcpu, OUTS, (1UL << 47) - 2));
	EXPECT_VECTOR(13, try_op(&self->vcpu, INS, (1UL << 47) - 2));
	EXPECT_SAME(try_op(&self->vcpu, LOAD, 1UL << 47), try_op(&self->vcpu, OUTS, 1UL << 47));
	EXPECT_SAME(try_op(&self->vcpu, STORE, 1UL << 47), try_op(&self->vcpu, INS, 1UL << 47));
	/* The upper half is canonical, and not mapped. */
	EXPECT_PAGE_FAULT(~0UL << 47, 0);
}

/* The segment's limit and type; access rights are those that a descriptor would load. */
static void set_segments(struct vcpu *vcpu, struct kvm_segment segment)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.es = segment;
	sregs.fs = segment;
	vcpu_set_sregs(vcpu, &sregs);
}

/* QEMU's software CPU checks no limits and no types itself, so only the string instructions can be tested there. */
#define EXPECT_SEGMENT_FAULT(number, op, string_op, address)						\
	do {												\
		struct outcome string = try_op(&self->vcpu, string_op, (address));			\
													\
		EXPECT_VECTOR(number, string);								\
		if (!machine_is_tcg())									\
			EXPECT_SAME(try_op(&self->vcpu, op, (address)), string);			\
	} while (0)

TEST_F(string_io, segment_limits)
{
	struct kvm_segment data = {
		.selector = SEL_DATA, .limit = TARGET + 0xfff, .type = 3, .present = 1, .s = 1, .db = 1,
	};

	vcpu_enter_protected(&self->vcpu);
	start_32bit(&self->vcpu);
	set_segments(&self->vcpu, data);
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS_FS, TARGET + 0xffc).what);
	EXPECT_EQ(0U, try_op(&self->vcpu, INS, TARGET + 0xffc).what);
	EXPECT_SEGMENT_FAULT(13, LOAD_FS, OUTS_FS, TARGET + 0xffd);
	EXPECT_SEGMENT_FAULT(13, STORE, INS, TARGET + 0xffd);
	EXPECT_SEGMENT_FAULT(13, STORE, INS, 0x80000000);

	/* Expand-down: offsets above the limit are allowed. */
	data.type = 7;
	set_segments(&self->vcpu, data);
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS_FS, TARGET + 0x1000).what);
	EXPECT_EQ(0U, try_op(&self->vcpu, INS, TARGET + 0x1000).what);
	EXPECT_SEGMENT_FAULT(13, LOAD_FS, OUTS_FS, TARGET + 0xfff);
	EXPECT_SEGMENT_FAULT(13, STORE, INS, TARGET);
	/* Up to 64 KiB where the descriptor is not big. */
	data.db = 0;
	data.limit = 0xfff;
	set_segments(&self->vcpu, data);
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS_FS, 0xfffc).what);
	EXPECT_SEGMENT_FAULT(13, LOAD_FS, OUTS_FS, 0xfffd);
	EXPECT_SEGMENT_FAULT(13, LOAD_FS, OUTS_FS, 0x10000);
}

TEST_F(string_io, stack_segment_limit_is_a_stack_fault)
{
	struct kvm_sregs sregs;

	vcpu_enter_protected(&self->vcpu);
	start_32bit(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.ss.limit = TARGET + 0xfff;
	sregs.ss.g = 0;
	vcpu_set_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS_SS, TARGET).what);
	EXPECT_SEGMENT_FAULT(12, LOAD_SS, OUTS_SS, TARGET + 0x1000);
}

TEST_F(string_io, type_and_usability_of_segments)
{
	struct kvm_segment data = {
		.selector = SEL_DATA, .limit = 0xffffffff, .g = 1, .type = 1, .present = 1, .s = 1, .db = 1,
	};

	vcpu_enter_protected(&self->vcpu);
	start_32bit(&self->vcpu);
	/* Read-only. */
	set_segments(&self->vcpu, data);
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS_FS, TARGET).what);
	EXPECT_SEGMENT_FAULT(13, STORE, INS, TARGET);
	/* Execute-only code would be for FS only, but VM-entry refuses it there as in ES, so readable code is used. */
	data.type = 11;
	set_segments(&self->vcpu, data);
	EXPECT_EQ(0U, try_op(&self->vcpu, OUTS_FS, TARGET).what);
	EXPECT_SEGMENT_FAULT(13, STORE, INS, TARGET);
	/* Null. */
	set_segments(&self->vcpu, (struct kvm_segment) { .unusable = 1 });
	EXPECT_SEGMENT_FAULT(13, LOAD_FS, OUTS_FS, TARGET);
	EXPECT_SEGMENT_FAULT(13, STORE, INS, TARGET);
	/* Unusable with the limit and type of flat data. */
	data.type = 3;
	data.unusable = 1;
	set_segments(&self->vcpu, data);
	EXPECT_SEGMENT_FAULT(13, LOAD_FS, OUTS_FS, TARGET);
	EXPECT_SEGMENT_FAULT(13, STORE, INS, TARGET);
}

/* Outside 64-bit mode the linear address has 32 bits: an element at its end continues at address 0. */
TEST_F(string_io, linear_address_wraps_at_4_gib)
{
	const uint64_t base = 0x1000, offset = 0xfffffffe - base;
	uint32_t *directory = vm_at(&self->vm, GUEST_PD32), *first = vm_at(&self->vm, APART_TABLE(0));
	uint32_t *last = vm_at(&self->vm, APART_TABLE(1));
	struct kvm_sregs sregs;
	struct outcome outs;
	struct kvm_segment data = {
		.selector = SEL_DATA, .base = base, .limit = 0xffffffff, .g = 1, .type = 3, .present = 1, .s = 1, .db = 1,
	};

	vcpu_enter_paging32(&self->vcpu);
	start_32bit(&self->vcpu);
	set_segments(&self->vcpu, data);
	/* Page 0 is not mapped at first, and the last page is TARGET. */
	for (uint32_t page = 1; page < 512; page++)
		first[page] = page << 12 | PTE_PW;
	last[1023] = TARGET | PTE_PW;
	directory[0] = APART_TABLE(0) | PTE_PW;
	directory[1023] = APART_TABLE(1) | PTE_PW;
	flush(&self->vcpu);
	outs = try_op(&self->vcpu, OUTS_FS, offset);
	EXPECT_EQ((uint32_t)KVM_EXIT_EXCEPTION, outs.what);
	EXPECT_EQ(14U, outs.vector);
	/* All 64 bits: the handler sees 32. */
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(0U, sregs.cr2);
	/* QEMU's software CPU does not wrap within an element. */
	if (!machine_is_tcg())
		EXPECT_SAME(try_op(&self->vcpu, LOAD_FS, offset), outs);
	first[0] = PTE_PW;
	flush(&self->vcpu);
	memset(vm_at(&self->vm, 0), 0, 4);
	EXPECT_EQ(0U, try_op(&self->vcpu, INS, offset).what);
	EXPECT_EQ(0x5a5a, *(uint16_t *)vm_at(&self->vm, TARGET + 0xffe));
	EXPECT_EQ(0x5a5aU, *(uint32_t *)vm_at(&self->vm, 0));
}

/* Where a real-mode guest stops after @op at @offset: 0 after the instruction, or the vector. */
static int try_real(struct vcpu *vcpu, enum op op, uint16_t offset)
{
	struct kvm_regs regs = {
		.rip = OP_BYTES * op, .rflags = RFLAGS_FIXED, .rsp = 0xfff0, .rsi = offset, .rdi = offset,
		.rdx = PORT_TEST_DX,
	};
	int reason;

	vcpu_set_regs(vcpu, &regs);
	reason = vcpu_run(vcpu);
	if (reason == KVM_EXIT_IO)
		reason = vcpu_run(vcpu);
	if (reason != KVM_EXIT_HLT)
		return -reason;
	vcpu_get_regs(vcpu, &regs);
	return regs.rip > 0x100 ? (int)(regs.rip - 1 - 0x100) : 0;
}

TEST_F(string_io, segment_limits_of_real_mode)
{
	uint32_t *vectors = vm_at(&self->vm, GUEST_IVT);

	vcpu_enter_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, ops16);
	for (uint32_t vector = 0; vector < 16; vector++)
		vectors[vector] = (GUEST_CODE >> 4) << 16 | (0x100 + vector);
	EXPECT_EQ(0, try_real(&self->vcpu, OUTS, 0xfffc));
	EXPECT_EQ(0, try_real(&self->vcpu, INS, 0xfffc));
	EXPECT_EQ(13, try_real(&self->vcpu, OUTS, 0xfffd));
	EXPECT_EQ(13, try_real(&self->vcpu, INS, 0xfffd));
	EXPECT_EQ(12, try_real(&self->vcpu, OUTS_SS, 0xfffd));
}

TEST_F(string_io, page_tables_outside_of_memory)
{
	struct outcome outs, ins;

	if (!device_is_vregcache())
		SKIP(return, "%s behaves differently", device_path());
	start_long(&self->vcpu);
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, GUEST_MEM_SIZE | PTE_PW);
	flush(&self->vcpu);
	outs = try_op(&self->vcpu, OUTS, LINEAR + PAGE_BYTES);
	EXPECT_EQ((uint32_t)KVM_EXIT_INTERNAL_ERROR, outs.what);
	EXPECT_EQ(GUEST_MEM_SIZE + 8U, outs.guest_physical);
	EXPECT_EQ(30U, self->vcpu.run->internal.data[1]);
	ins = try_op(&self->vcpu, INS, LINEAR + PAGE_BYTES);
	EXPECT_EQ((uint32_t)KVM_EXIT_INTERNAL_ERROR, ins.what);
	EXPECT_EQ(GUEST_MEM_SIZE + 8U, ins.guest_physical);
	/* And a page. */
	vm_write64(&self->vm, GUEST_PD + (LINEAR >> 21) * 8, TABLE | PTE_PW);
	vm_write64(&self->vm, TABLE, (GUEST_MEM_SIZE + 5 * PAGE_BYTES) | PTE_PW);
	flush(&self->vcpu);
	EXPECT_EQ(GUEST_MEM_SIZE + 5 * PAGE_BYTES + 0x10, try_op(&self->vcpu, OUTS, LINEAR + 0x10).guest_physical);
	EXPECT_EQ(GUEST_MEM_SIZE + 5 * PAGE_BYTES + 0x10, try_op(&self->vcpu, INS, LINEAR + 0x10).guest_physical);
}

GUEST_ASM(rep_ins, 64,
	"	cld\n"
	"	rep insl\n"
	"	hlt\n");

#define WORDS		16
#define FIRST_WORDS	5
#define SLOT_GPA	0x1000000UL
#define START		(SLOT_GPA + PAGE_BYTES - 4 * FIRST_WORDS)

/* Runs up to the IN of WORDS words, 5 in the first slot and 11 in the second, and provides their data. */
static void run_to_in(struct vcpu *vcpu)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rdi = START, .rcx = WORDS,
		.rdx = PORT_TEST_DX,
	};
	uint32_t *data;

	vm_load(vcpu->vm, GUEST_CODE, rep_ins);
	vcpu_set_regs(vcpu, &regs);
	if (vcpu_run(vcpu) != KVM_EXIT_IO || vcpu->run->io.count != WORDS)
		die("exit reason %u, %u words", vcpu->run->exit_reason, vcpu->run->io.count);
	data = vcpu_io_data(vcpu);
	for (uint32_t i = 0; i < WORDS; i++)
		data[i] = 0x1000 + i;
}

TEST_F(string_io, ins_data_are_kept_while_memory_is_absent)
{
	uint32_t *first = (uint32_t *)host_alloc(PAGE_BYTES), *second = (uint32_t *)host_alloc(PAGE_BYTES);
	struct kvm_regs regs;

	if (!device_is_vregcache())
		SKIP(return, "%s behaves differently", device_path());
	start_long(&self->vcpu);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, PAGE_BYTES, first));
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, SLOT_GPA + PAGE_BYTES, PAGE_BYTES, second));
	run_to_in(&self->vcpu);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, SLOT_GPA + PAGE_BYTES, 0, NULL));

	/* The result is the same at each attempt. */
	for (int turn = 0; turn < 2; turn++) {
		ASSERT_EQ(KVM_EXIT_INTERNAL_ERROR, vcpu_run(&self->vcpu));
		EXPECT_EQ((uint32_t)KVM_INTERNAL_ERROR_EMULATION, self->vcpu.run->internal.suberror);
		EXPECT_EQ(30U, self->vcpu.run->internal.data[1]);
		EXPECT_EQ((uint64_t)PORT_TEST_DX, self->vcpu.run->internal.data[2] >> 16);
		EXPECT_EQ(SLOT_GPA + PAGE_BYTES, self->vcpu.run->internal.data[3]);
		vcpu_get_regs(&self->vcpu, &regs);
		EXPECT_EQ(SLOT_GPA + PAGE_BYTES, regs.rdi);
		EXPECT_EQ((uint64_t)WORDS - FIRST_WORDS, regs.rcx);
		EXPECT_EQ(GUEST_CODE + 1U, regs.rip);
		EXPECT_EQ(0U, second[0]);
	}
	for (uint32_t i = 0; i < FIRST_WORDS; i++)
		EXPECT_EQ(0x1000 + i, first[PAGE_BYTES / 4 - FIRST_WORDS + i]);

	/* The memory exists again, and the port is not read a second time. */
	ASSERT_EQ(0, vm_set_slot(&self->vm, 2, 0, SLOT_GPA + PAGE_BYTES, PAGE_BYTES, second));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(START + 4 * WORDS, regs.rdi);
	EXPECT_EQ(0U, regs.rcx);
	for (uint32_t i = 0; i < WORDS - FIRST_WORDS; i++)
		EXPECT_EQ(0x1000 + FIRST_WORDS + i, second[i]);
	munmap(first, PAGE_BYTES);
	munmap(second, PAGE_BYTES);
}

/* At the page fault the registers point to the word that could not be stored. */
TEST_F(string_io, page_fault_at_completion_follows_the_stored_elements)
{
	uint64_t *record = vm_at(&self->vm, GUEST_EXC_RECORD);
	uint32_t *memory = (uint32_t *)host_alloc(2 * PAGE_BYTES);
	struct kvm_regs regs;

	start_long(&self->vcpu);
	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, SLOT_GPA, 2 * PAGE_BYTES, memory));
	vm_write64(&self->vm, GUEST_PD + (SLOT_GPA >> 21) * 8, TABLE | PTE_PW);
	vm_write64(&self->vm, TABLE, SLOT_GPA | PTE_PW);
	vm_write64(&self->vm, TABLE + 8, (SLOT_GPA + PAGE_BYTES) | PTE_PW);
	flush(&self->vcpu);
	run_to_in(&self->vcpu);
	vm_write64(&self->vm, TABLE + 8, 0);
	record[EXC_RESUME / 8] = GUEST_CODE + 3;
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(1U, record[EXC_COUNT / 8]);
	EXPECT_EQ(14U, record[EXC_VECTOR / 8]);
	EXPECT_EQ((uint64_t)ERROR_WRITE, record[EXC_ERROR / 8]);
	EXPECT_EQ(SLOT_GPA + PAGE_BYTES, record[EXC_CR2 / 8]);
	EXPECT_EQ(GUEST_CODE + 1U, record[EXC_RIP / 8]);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(SLOT_GPA + PAGE_BYTES, regs.rdi);
	EXPECT_EQ((uint64_t)WORDS - FIRST_WORDS, regs.rcx);
	for (uint32_t i = 0; i < FIRST_WORDS; i++)
		EXPECT_EQ(0x1000 + i, memory[PAGE_BYTES / 4 - FIRST_WORDS + i]);
	munmap(memory, 2 * PAGE_BYTES);
}

TEST_HARNESS_MAIN
