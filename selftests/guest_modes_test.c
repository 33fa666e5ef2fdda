// SPDX-License-Identifier: GPL-2.0
/*
 * Guests in each processor mode: started in it, switching to it by themselves,
 * faulting, and accessing memory of each kind.
 */
#include "lib/harness.h"

#include <sys/ioctl.h>

#include "lib/cpuid.h"
#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/ports.h"
#include "lib/vm.h"

GUEST_BLOB(real);
GUEST_BLOB(body32);
GUEST_BLOB(body64);
GUEST_BLOB(walk);

FIXTURE(guest) {
	struct vm vm;
	struct vcpu vcpu;
	struct port_log log;
};

/* Data that the guests compare with and copy. */
static void fill_data(struct vm *vm, struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_of_vcpu(vcpu);
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0, 0);
	uint32_t answers[4] = { leaf->eax, leaf->ebx, leaf->ecx, leaf->edx };
	uint8_t *outs = vm_at(vm, GUEST_OUTS);

	memcpy(vm_at(vm, GUEST_CPUID0), answers, sizeof(answers));
	free(cpuid);
	for (int i = 0; i < GUEST_STRING_BYTES; i++)
		outs[i] = 7 * i + 3;
}

FIXTURE_SETUP(guest)
{
	/* The TSCs of two CPUs may differ, and the guest compares TSC values. */
	pin_here();
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	fill_data(&self->vm, &self->vcpu);
}

FIXTURE_TEARDOWN(guest)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static const uint8_t single_outs[] = {
	0x01, 0x01, 0x02, 0x01, 0x02, 0x03, 0x04,
	0x11, 0x11, 0x12, 0x11, 0x12, 0x13, 0x14,
};

/* 1 if INS stored the bytes 0, 1, 2 and so on at the right place. */
static int ins_are_right(struct vm *vm, unsigned int bytes)
{
	const uint8_t *ins = vm_at(vm, GUEST_INS);
	unsigned int i;

	for (i = 0; i < bytes; i++) {
		if (ins[i] != (uint8_t)i)
			return 0;
	}
	return ins[bytes] == 0;
}

/* Clears the entries, in all three kinds of tables, that map GUEST_UNMAPPED. */
static void unmap_for_page_faults(struct vm *vm)
{
	uint32_t *pd32 = vm_at(vm, GUEST_PD32);
	uint64_t *pd = vm_at(vm, GUEST_PD);

	pd[GUEST_UNMAPPED >> 21] = 0;
	pd32[GUEST_UNMAPPED >> 22] = 0;
	*(uint32_t *)vm_at(vm, GUEST_HAS_PAGING) = 1;
}

/* The OUT data of guest_body.inc, in its order. */
static size_t expected_outs(struct vm *vm, uint8_t *expected)
{
	const uint8_t *outs = vm_at(vm, GUEST_OUTS);
	size_t bytes = 0;

	memcpy(expected, single_outs, sizeof(single_outs));
	bytes += sizeof(single_outs);
	memcpy(expected + bytes, outs, GUEST_STRING_BYTES);
	bytes += GUEST_STRING_BYTES;
	memcpy(expected + bytes, outs, 10);
	bytes += 10;
	memcpy(expected + bytes, outs, 13);
	memcpy(expected + bytes + 12, outs + 12, 1);
	bytes += 13;
	for (int i = 3; i >= 0; i--)
		expected[bytes++] = outs[i];
	return bytes;
}

#define CHECK_BODY() do {									\
	uint8_t expected[PORT_LOG_BYTES];							\
	size_t bytes = expected_outs(&self->vm, expected);					\
												\
	ASSERT_EQ(GUEST_END_DONE, run_with_ports(&self->vcpu, &self->log));			\
	ASSERT_EQ(bytes, self->log.out_bytes);							\
	EXPECT_EQ(0, memcmp(expected, self->log.out, bytes));					\
	EXPECT_TRUE(ins_are_right(&self->vm, GUEST_STRING_BYTES + 10));				\
	EXPECT_EQ(2U, self->log.hlts);								\
} while (0)

TEST_F(guest, real_mode_runs_interrupts_far_jumps_and_segments)
{
	vcpu_enter_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, real);
	ASSERT_EQ(GUEST_END_DONE, run_with_ports(&self->vcpu, &self->log));
	ASSERT_EQ(sizeof(single_outs) + GUEST_STRING_BYTES, self->log.out_bytes);
	EXPECT_EQ(0, memcmp(self->log.out, single_outs, sizeof(single_outs)));
	EXPECT_EQ(0, memcmp(self->log.out + sizeof(single_outs), vm_at(&self->vm, GUEST_OUTS), GUEST_STRING_BYTES));
	EXPECT_TRUE(ins_are_right(&self->vm, GUEST_STRING_BYTES));
	EXPECT_EQ(1U, self->log.hlts);

	/* INS at offsets 0xfffe, 0xffff, 0 and 1. */
	EXPECT_EQ((GUEST_STRING_BYTES + 0) & 0xff, *(uint8_t *)vm_at(&self->vm, GUEST_DATA + 0xfffe));
	EXPECT_EQ((GUEST_STRING_BYTES + 1) & 0xff, *(uint8_t *)vm_at(&self->vm, GUEST_DATA + 0xffff));
}

TEST_F(guest, protected_mode_without_paging)
{
	vcpu_enter_protected(&self->vcpu);
	vcpu_install_idt32(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, body32);
	CHECK_BODY();
}

TEST_F(guest, protected_mode_with_32_bit_paging)
{
	vcpu_enter_paging32(&self->vcpu);
	vcpu_install_idt32(&self->vcpu);
	unmap_for_page_faults(&self->vm);
	vm_load(&self->vm, GUEST_CODE, body32);
	CHECK_BODY();
}

TEST_F(guest, protected_mode_with_pae_paging)
{
	vcpu_enter_pae(&self->vcpu);
	vcpu_install_idt32(&self->vcpu);
	unmap_for_page_faults(&self->vm);
	vm_load(&self->vm, GUEST_CODE, body32);
	CHECK_BODY();
}

TEST_F(guest, long_mode)
{
	vcpu_enter_long(&self->vcpu);
	vcpu_install_idt64(&self->vcpu);
	unmap_for_page_faults(&self->vm);
	vm_load(&self->vm, GUEST_CODE, body64);
	CHECK_BODY();
}

TEST_F(guest, long_mode_with_five_levels)
{
	if (!vcpu_has_la57(&self->vcpu))
		SKIP(return, "this CPU has no 5-level paging");
	vcpu_enter_long5(&self->vcpu);
	vcpu_install_idt64(&self->vcpu);
	unmap_for_page_faults(&self->vm);
	vm_load(&self->vm, GUEST_CODE, body64);
	CHECK_BODY();
}

/* The same memory through the second entry of the top table; then a change of CR4.LA57 in long mode, which is #GP. */
GUEST_ASM(high, 64,
	"	mov $1 << 48, %rsi\n"
	"	mov " GUEST_STRING(GUEST_FREE) "(%rsi), %rax\n"
	"	not %rax\n"
	"	mov %rax, " GUEST_STRING(GUEST_FREE) " + 8(%rsi)\n"
	/* The module translates the address of string I/O. */
	"	lea " GUEST_STRING(GUEST_FREE) "(%rsi), %rsi\n"
	"	mov $" GUEST_STRING(PORT_TEST) ", %edx\n"
	"	outsl\n"
	"	mov %cr4, %rax\n"
	"	xor $0x1000, %eax\n"
	"	mov %rax, %cr4\n"
	"	nop\n"
	"	hlt\n");

TEST_F(guest, addresses_above_48_bits)
{
	const struct kvm_run *run = self->vcpu.run;

	if (!vcpu_has_la57(&self->vcpu))
		SKIP(return, "this CPU has no 5-level paging");
	vcpu_enter_long5(&self->vcpu);
	vcpu_install_idt64(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, high);
	vm_write64(&self->vm, GUEST_FREE, 0x1122334455667788);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(4U, run->io.size * run->io.count);
	EXPECT_EQ(0x55667788U, *(uint32_t *)vcpu_io_data(&self->vcpu));
	EXPECT_EQ(~0x1122334455667788UL, vm_read64(&self->vm, GUEST_FREE + 8));
	/* The stub would return to the faulting instruction forever, so it resumes after it. */
	vm_write64(&self->vm, GUEST_EXC_RECORD + EXC_RESUME, GUEST_CODE + guest_high_end - guest_high - 1);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(13U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR));
}

/*
 * PAE paging keeps its four top entries in registers: a change in memory takes effect at the next load of CR3, whatever
 * exits come before.
 */
GUEST_ASM(pdptes, 32,
	"	mov $0xc0000000, %esi\n"
	"	mov " GUEST_STRING(GUEST_FREE) "(%esi), %eax\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	movl $0, " GUEST_STRING(GUEST_PDPT_PAE) " + 24\n"
	"	cpuid\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	mov " GUEST_STRING(GUEST_FREE) " + 0x200004(%esi), %eax\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	/* A reserved bit in the first entry: the load faults and changes nothing. */
	"	orl $2, " GUEST_STRING(GUEST_PDPT_PAE) "\n"
	"	mov %cr3, %eax\n"
	"	movl $1f - guest_pdptes + " GUEST_STRING(GUEST_CODE) ", " GUEST_STRING(GUEST_EXC_RECORD) " + 0x38\n"
	"	mov %eax, %cr3\n"
	"	outb %al, $" GUEST_STRING(PORT_FAIL) "\n"
	"1:	andl $~2, " GUEST_STRING(GUEST_PDPT_PAE) "\n"
	"	mov " GUEST_STRING(GUEST_FREE) " + 0x400008(%esi), %eax\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	/* Now the fourth entry is gone. */
	"	mov %cr3, %eax\n"
	"	mov %eax, %cr3\n"
	"	movl $2f - guest_pdptes + " GUEST_STRING(GUEST_CODE) ", " GUEST_STRING(GUEST_EXC_RECORD) " + 0x38\n"
	"	mov " GUEST_STRING(GUEST_FREE) "(%esi), %eax\n"
	"	outb %al, $" GUEST_STRING(PORT_FAIL) "\n"
	"2:	hlt\n");

GUEST_ASM(halt32, 32, "hlt\n	hlt\n");

#define FOUR_PDES (8UL << 20)

TEST_F(guest, pae_paging_keeps_its_pdptes_in_registers)
{
	uint8_t *more = host_alloc(FOUR_PDES - GUEST_MEM_SIZE);
	uint64_t *pdpt = vm_at(&self->vm, GUEST_PDPT_PAE);
	const uint8_t expected[] = { 0x51, 0, 0x52, 0x53 };

	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, GUEST_MEM_SIZE, FOUR_PDES - GUEST_MEM_SIZE, more));
	vcpu_enter_pae(&self->vcpu);
	pdpt[3] = pdpt[0];
	/* Makes the vCPU load the entries again. */
	{
		struct kvm_sregs sregs;

		vcpu_get_sregs(&self->vcpu, &sregs);
		vcpu_set_sregs(&self->vcpu, &sregs);
	}
	vcpu_install_idt32(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, pdptes);
	*(uint8_t *)vm_at(&self->vm, GUEST_FREE) = expected[0];
	more[GUEST_FREE + 4] = expected[2];
	more[GUEST_FREE + 0x200000 + 8] = expected[3];
	for (unsigned int i = 0; i < sizeof(expected); i++) {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu))
			TH_LOG("step %u", i);
		ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 1));
		if (i != 1) {
			EXPECT_EQ(expected[i], *(uint8_t *)vcpu_io_data(&self->vcpu));
		}
	}
	EXPECT_EQ(13U, *(uint32_t *)vm_at(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(14U, *(uint32_t *)vm_at(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR));
	EXPECT_EQ(2U, *(uint32_t *)vm_at(&self->vm, GUEST_EXC_RECORD + EXC_COUNT));
	munmap(more, FOUR_PDES - GUEST_MEM_SIZE);
}

/* A guest may reuse the memory of its PDPTEs. KVM_SET_SREGS of what KVM_GET_SREGS returned must still be a no-op. */
TEST_F(guest, set_sregs_of_unchanged_registers_keeps_pdptes)
{
	struct kvm_sregs sregs;

	if (!device_is_vregcache())
		SKIP(return, "%s always loads them", device_path());
	vcpu_enter_pae(&self->vcpu);
	memset(vm_at(&self->vm, GUEST_PDPT_PAE), 0xff, 32);
	vcpu_get_sregs(&self->vcpu, &sregs);
	vcpu_set_sregs(&self->vcpu, &sregs);
	vm_load(&self->vm, GUEST_CODE, halt32);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	/* With another CR3 they are loaded. */
	memset(vm_at(&self->vm, GUEST_PDPT_PAE + 32), 0xff, 32);
	sregs.cr3 += 32;
	vcpu_set_sregs(&self->vcpu, &sregs);
	/* Setting the same values again does not help. */
	vcpu_set_sregs(&self->vcpu, &sregs);
	ASSERT_EQ(0, ioctl(self->vcpu.fd, KVM_RUN, 0UL));
	EXPECT_EQ((uint32_t)KVM_EXIT_FAIL_ENTRY, self->vcpu.run->exit_reason);
}

/* Removes the fourth PDPTE from memory, changes the bits of CR4 in EBX, and reads where the entry mapped memory. */
GUEST_ASM(change_cr4, 32,
	"	movl $0, " GUEST_STRING(GUEST_PDPT_PAE) " + 24\n"
	"	mov %cr4, %eax\n"
	"	xor %ebx, %eax\n"
	"	mov %eax, %cr4\n"
	"	mov 0xc0000000 + " GUEST_STRING(GUEST_FREE) ", %eax\n"
	"	hlt\n");

/* SDM Vol. 3A, 4.4.1. */
TEST_F(guest, mov_to_cr4_loads_pdptes)
{
	static const struct {
		uint64_t changed;
		int loads;
	} rows[] = { { CR4_PSE, 1 }, { CR4_PGE, 1 }, { CR4_SMEP, 1 }, { CR4_PSE | CR4_PGE, 1 }, { CR4_TSD, 0 } };
	struct kvm_cpuid2 *cpuid = cpuid_of_vcpu(&self->vcpu);
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 7, 0);
	int has_smep = leaf && leaf->ebx & 1 << 7;
	uint64_t *pdpt = vm_at(&self->vm, GUEST_PDPT_PAE);

	free(cpuid);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK };
		struct kvm_sregs sregs;

		if (rows[i].changed == CR4_SMEP && !has_smep)
			continue;
		vcpu_enter_pae(&self->vcpu);
		vcpu_install_idt32(&self->vcpu);
		vm_load(&self->vm, GUEST_CODE, change_cr4);
		/* The guest's code is on a supervisor page, for SMEP. */
		*(uint64_t *)vm_at(&self->vm, GUEST_PD) &= ~4UL;
		pdpt[3] = pdpt[0];
		vcpu_get_sregs(&self->vcpu, &sregs);
		vcpu_set_sregs(&self->vcpu, &sregs);
		vm_write64(&self->vm, GUEST_EXC_RECORD + EXC_RESUME,
			   GUEST_CODE + guest_change_cr4_end - guest_change_cr4 - 1);
		regs.rbx = rows[i].changed;
		vcpu_set_regs(&self->vcpu, &regs);
		ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
		EXPECT_EQ(rows[i].loads ? 14U : 0U, vm_read64(&self->vm, GUEST_EXC_RECORD + EXC_VECTOR))
			TH_LOG("CR4 bits %#lx", rows[i].changed);
	}
}

TEST_F(guest, string_io_is_batched)
{
	vcpu_enter_long(&self->vcpu);
	vcpu_install_idt64(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, body64);
	ASSERT_EQ(GUEST_END_DONE, run_with_ports(&self->vcpu, &self->log));
	/* 600 bytes by string instructions: far fewer exits than bytes. */
	EXPECT_GT(self->log.batches, 0U);
	EXPECT_LT(self->log.exits, 500U);
}

/* The registers that determine the guest's mode. */
struct station {
	uint8_t number;
	uint64_t paging;
	uint64_t protection;
	uint64_t lma;
	uint8_t l;
	uint8_t db;
};

static const struct station stations[] = {
	{ .number = 1 },
	{ .number = 2, .protection = CR0_PE, .db = 1 },
	{ .number = 3, .protection = CR0_PE, .paging = CR0_PG, .lma = EFER_LME | EFER_LMA, .db = 1 },
	{ .number = 4, .protection = CR0_PE, .paging = CR0_PG, .lma = EFER_LME | EFER_LMA, .l = 1 },
	{ .number = 5, .protection = CR0_PE, .paging = CR0_PG, .lma = EFER_LME | EFER_LMA, .db = 1 },
	{ .number = 6, .protection = CR0_PE, .db = 1 },
	{ .number = 7, .protection = CR0_PE, .paging = CR0_PG, .db = 1 },
	{ .number = 8, .protection = CR0_PE, .paging = CR0_PG, .db = 1 },
	{ .number = 9, .protection = CR0_PE },
	{ .number = 10 },
};

TEST_F(guest, walks_from_real_mode_to_long_mode_and_back)
{
	struct kvm_sregs sregs;

	vcpu_enter_real(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, walk);
	for (size_t i = 0; i < sizeof(stations) / sizeof(stations[0]); i++) {
		const struct station *station = &stations[i];

		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu))
			TH_LOG("before station %u", station->number);
		ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 1));
		ASSERT_EQ(station->number, *(uint8_t *)vcpu_io_data(&self->vcpu));
		vcpu_get_sregs(&self->vcpu, &sregs);
		EXPECT_EQ(station->protection, sregs.cr0 & CR0_PE);
		EXPECT_EQ(station->paging, sregs.cr0 & CR0_PG);
		EXPECT_EQ(station->lma, sregs.efer & (EFER_LME | EFER_LMA));
		EXPECT_EQ(station->l, sregs.cs.l);
		EXPECT_EQ(station->db, sregs.cs.db);
		if (station->number == 1 || station->number == 10) {
			EXPECT_EQ((uint64_t)GUEST_CODE, sregs.cs.base);
		}
	}
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	EXPECT_EQ(0x600d, *(uint16_t *)vm_at(&self->vm, GUEST_DATA + 0x700));
}

GUEST_ASM(triple_fault, 64, "ud2\n");

TEST_F(guest, triple_fault_shuts_down)
{
	vcpu_enter_long(&self->vcpu);
	/* The IDT's limit is 0: #UD, then #GP, then #DF find no gate. */
	vm_load(&self->vm, GUEST_CODE, triple_fault);
	EXPECT_EQ(KVM_EXIT_SHUTDOWN, vcpu_run(&self->vcpu));
}

/* Reads RCX pages from RSI, RDX bytes apart: [page] must be ~page; writes page * 3. */
GUEST_ASM(touch_pages, 64,
	"1:	mov %rsi, %rax\n"
	"	not %rax\n"
	"	cmp %rax, (%rsi)\n"
	"	jne 2f\n"
	"	lea (%rsi,%rsi,2), %rax\n"
	"	mov %rax, 8(%rsi)\n"
	"	add %rdx, %rsi\n"
	"	dec %rcx\n"
	"	jnz 1b\n"
	"	hlt\n"
	"2:	outb %al, $" GUEST_STRING(PORT_FAIL) "\n");

#define BIG_GPA		0x1000000UL
#define BIG_SIZE	(64UL << 20)
/* All pages of the last 4 MiB, and every 16th page before them. */
#define SPARSE_STEP	(16 * PAGE_BYTES)
#define DENSE_BYTES	(4UL << 20)

static int touch(struct vcpu *vcpu, uint64_t gpa, uint64_t pages, uint64_t step)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rsi = gpa, .rcx = pages, .rdx = step,
	};

	vcpu_set_regs(vcpu, &regs);
	return vcpu_run(vcpu);
}

TEST_F(guest, untouched_pages_of_a_64_mib_slot_are_mapped_on_demand)
{
	uint8_t *big = host_alloc(BIG_SIZE);
	uint64_t dense = BIG_SIZE - DENSE_BYTES;
	uint64_t value[2];
	uint64_t offset;

	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, BIG_GPA, BIG_SIZE, big));
	for (offset = 0; offset < BIG_SIZE; offset += PAGE_BYTES) {
		value[0] = ~(BIG_GPA + offset);
		memcpy(big + offset, value, sizeof(value[0]));
	}
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, touch_pages);
	ASSERT_EQ(KVM_EXIT_HLT, touch(&self->vcpu, BIG_GPA, dense / SPARSE_STEP, SPARSE_STEP));
	ASSERT_EQ(KVM_EXIT_HLT, touch(&self->vcpu, BIG_GPA + dense, DENSE_BYTES / PAGE_BYTES, PAGE_BYTES));
	for (offset = 0; offset < BIG_SIZE; offset += offset < dense ? SPARSE_STEP : PAGE_BYTES) {
		memcpy(value, big + offset, sizeof(value));
		ASSERT_EQ((BIG_GPA + offset) * 3, value[1])
			TH_LOG("offset %#lx", offset);
	}
	/* The guest has not accessed a page in between. */
	memcpy(value, big + PAGE_BYTES, sizeof(value));
	EXPECT_EQ(0U, value[1]);
	munmap(big, BIG_SIZE);
}

/* Writes ~RSI to RCX pages from RSI, RDX bytes apart, and ORs the old contents into RAX. */
GUEST_ASM(fill_pages, 64,
	"	xor %eax, %eax\n"
	"1:	or (%rsi), %rax\n"
	"	mov %rsi, %rbx\n"
	"	not %rbx\n"
	"	mov %rbx, (%rsi)\n"
	"	add %rdx, %rsi\n"
	"	dec %rcx\n"
	"	jnz 1b\n"
	"	hlt\n");

TEST_F(guest, untouched_pages_are_zero_and_writable)
{
	uint8_t *fresh = host_alloc(DENSE_BYTES);
	struct kvm_regs regs;
	uint64_t offset;

	ASSERT_EQ(0, vm_set_slot(&self->vm, 1, 0, BIG_GPA, DENSE_BYTES, fresh));
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, fill_pages);
	ASSERT_EQ(KVM_EXIT_HLT, touch(&self->vcpu, BIG_GPA, DENSE_BYTES / PAGE_BYTES, PAGE_BYTES));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0U, regs.rax);
	for (offset = 0; offset < DENSE_BYTES; offset += PAGE_BYTES) {
		ASSERT_EQ(~(BIG_GPA + offset), *(uint64_t *)(fresh + offset));
	}
	munmap(fresh, DENSE_BYTES);
}

/* Adds 1 to [RSI], and reports the old value. */
GUEST_ASM(count_up, 64,
	"1:	mov (%rsi), %eax\n"
	"	incl (%rsi)\n"
	"	outl %eax, $" GUEST_STRING(PORT_TEST) "\n"
	"	jmp 1b\n");

TEST_F(guest, userspace_and_guest_see_each_others_writes)
{
	uint32_t *word = vm_at(&self->vm, GUEST_FREE);
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsi = GUEST_FREE };

	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, count_up);
	vcpu_set_regs(&self->vcpu, &regs);
	for (uint32_t i = 0; i < 100; i++) {
		*word = i * 1000;
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
		ASSERT_EQ(i * 1000, *(uint32_t *)vcpu_io_data(&self->vcpu));
		ASSERT_EQ(i * 1000 + 1, *(volatile uint32_t *)word);
	}
}

/* POPF sets TF, which traps after the next instruction; that one is emulated. */
GUEST_ASM(trap_behind_cpuid, 64, "pushf\n orl $0x100, (%rsp)\n popf\n cpuid\n nop\n nop\n hlt\n");
#define BEHIND_CPUID (GUEST_CODE + 11)
GUEST_ASM(halt, 64, "hlt\n");

/*
 * The trap is injected at VM-entry, and its delivery is the first access to the page of the IDT: that exits, and the
 * trap must be injected again. A fault would recur with its instruction; a trap would not.
 */
TEST_F(guest, event_survives_an_exit_during_its_delivery)
{
	const uint64_t handler = GUEST_CODE + 0x800;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint64_t *gate;

	vm_load(&self->vm, GUEST_CODE, trap_behind_cpuid);
	vm_load(&self->vm, handler, halt);
	vcpu_enter_long(&self->vcpu);
	gate = vm_at(&self->vm, GUEST_IDT + 16);
	gate[0] = (handler & 0xffff) | SEL_CODE64 << 16 | 0x8e0000000000 | (handler >> 16 & 0xffff) << 48;
	gate[1] = 0;
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.idt.limit = 0xfff;
	vcpu_set_sregs(&self->vcpu, &sregs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	ASSERT_EQ(handler + 1, regs.rip);
	EXPECT_EQ((uint64_t)BEHIND_CPUID, *(uint64_t *)vm_at(&self->vm, regs.rsp));
}

GUEST_ASM(sti_hlt, 64, "sti\n hlt\n hlt\n");

/* HLT has completed, so STI no longer blocks; VM-entry fails with blocking by STI while RFLAGS.IF is clear. */
TEST_F(guest, emulated_instruction_ends_blocking_by_sti)
{
	struct kvm_regs regs;

	vm_load(&self->vm, GUEST_CODE, sti_hlt);
	vcpu_enter_long(&self->vcpu);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0x200U, regs.rflags & 0x200);
	regs.rflags &= ~0x200UL;
	vcpu_set_regs(&self->vcpu, &regs);
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(GUEST_CODE + 3UL, regs.rip);
}

GUEST_ASM(read_unknown_msr, 16, "mov $0xdead, %cx\n rdmsr\n hlt\n");

/* In real mode #GP pushes no error code, and VM-entry fails if it is to deliver one. */
TEST_F(guest, fault_in_real_mode_has_no_error_code)
{
	const uint16_t handler = 0x100;
	struct kvm_regs regs;
	uint16_t *vector, *stack;

	vm_load(&self->vm, GUEST_CODE, read_unknown_msr);
	vm_load(&self->vm, GUEST_CODE + handler, halt);
	vcpu_enter_real(&self->vcpu);
	vector = vm_at(&self->vm, GUEST_IVT + 13 * 4);
	vector[0] = handler;
	vector[1] = GUEST_CODE >> 4;
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	ASSERT_EQ(handler + 1U, regs.rip);
	/* IP, CS and FLAGS, and nothing else. */
	EXPECT_EQ((uint64_t)GUEST_STACK - GUEST_DATA - 16 - 6, regs.rsp);
	stack = vm_at(&self->vm, GUEST_DATA + regs.rsp);
	EXPECT_EQ(3, stack[0]);
	EXPECT_EQ(GUEST_CODE >> 4, stack[1]);
}

GUEST_ASM(load, 64, "mov (%rsi), %ebx\n hlt\n");
GUEST_ASM(store, 64, "mov %ebx, (%rsi)\n hlt\n");

#define NO_MEMORY_GPA 0x80000000UL

static void start_access(struct vcpu *vcpu, uint64_t gpa)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsi = gpa, .rbx = 0x55667788 };

	vcpu_enter_long(vcpu);
	vcpu_set_regs(vcpu, &regs);
}

TEST_F(guest, load_outside_all_slots_is_reported)
{
	struct kvm_run *run = self->vcpu.run;
	uint32_t data = 0xabcd1234;
	struct kvm_regs regs;
	int reason;

	vm_load(&self->vm, GUEST_CODE, load);
	start_access(&self->vcpu, NO_MEMORY_GPA + 0x234);
	reason = vcpu_run(&self->vcpu);
	ASSERT_TRUE(reason == KVM_EXIT_MMIO || reason == KVM_EXIT_INTERNAL_ERROR)
		TH_LOG("exit reason %d", reason);
	if (reason == KVM_EXIT_MMIO) {
		EXPECT_EQ(NO_MEMORY_GPA + 0x234, run->mmio.phys_addr);
		EXPECT_EQ(4U, run->mmio.len);
		EXPECT_EQ(0, run->mmio.is_write);
		memcpy(run->mmio.data, &data, sizeof(data));
		ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
		vcpu_get_regs(&self->vcpu, &regs);
		EXPECT_EQ(data, regs.rbx);
	}
}

TEST_F(guest, store_outside_all_slots_is_reported)
{
	struct kvm_run *run = self->vcpu.run;
	uint32_t data;
	int reason;

	vm_load(&self->vm, GUEST_CODE, store);
	start_access(&self->vcpu, NO_MEMORY_GPA + 0x234);
	reason = vcpu_run(&self->vcpu);
	ASSERT_TRUE(reason == KVM_EXIT_MMIO || reason == KVM_EXIT_INTERNAL_ERROR)
		TH_LOG("exit reason %d", reason);
	if (reason == KVM_EXIT_MMIO) {
		EXPECT_EQ(NO_MEMORY_GPA + 0x234, run->mmio.phys_addr);
		EXPECT_EQ(1, run->mmio.is_write);
		memcpy(&data, run->mmio.data, sizeof(data));
		EXPECT_EQ(0x55667788U, data);
		EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	}
}

TEST_HARNESS_MAIN
