// SPDX-License-Identifier: GPL-2.0
/*
 * The guest has the registers that userspace sets, and vice versa, whatever the
 * order of accesses and exits.
 */
#include "lib/harness.h"
#include "lib/cpuid.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/ops.h"
#include "lib/random.h"
#include "lib/rounds.h"
#include "lib/vm.h"

/* Flags that a guest at CPL 0 may hold without an effect: no TF, RF, VM, NT. */
#define FREE_FLAGS 0x243ed5UL

#define REGS_WORDS (sizeof(struct kvm_regs) / sizeof(__u64))

FIXTURE(registers) {
	struct vm vm;
	struct vcpu vcpu;
};

FIXTURE_SETUP(registers)
{
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, ops);
}

FIXTURE_TEARDOWN(registers)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
}

static uint64_t op_start(unsigned int op)
{
	return GUEST_CODE + guest_ops_table[op].start;
}

static uint64_t op_after(unsigned int op)
{
	return GUEST_CODE + guest_ops_table[op].after_exit;
}

static void choose_next(struct vm *vm, unsigned int op)
{
	vm_write64(vm, OPS_NEXT, op_start(op));
}

/* A different value in each register; RIP and RFLAGS are unchanged. */
static void fill_pattern(struct kvm_regs *regs, uint64_t salt)
{
	__u64 *word = (__u64 *)regs;
	unsigned int i;

	for (i = 0; i < REGS_RIP / sizeof(__u64); i++)
		word[i] = (i + 1) * 0x0101010101010101 ^ salt;
}

TEST_F(registers, get_regs_returns_the_registers_of_set_regs)
{
	struct kvm_regs set = { .rip = 0x123456789abc, .rflags = RFLAGS_FIXED | FREE_FLAGS };
	struct kvm_regs got;

	fill_pattern(&set, 0);
	vcpu_set_regs(&self->vcpu, &set);
	vcpu_get_regs(&self->vcpu, &got);
	EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)));

	/* One register at a time, so that two that share storage are detected. */
	__u64 *word = (__u64 *)&set;

	for (unsigned int i = 0; i < REGS_WORDS; i++) {
		word[i] = i == REGS_RFLAGS / 8 ? RFLAGS_FIXED : word[i] + 0x1000 + i;
		vcpu_set_regs(&self->vcpu, &set);
		memset(&got, 0xff, sizeof(got));
		vcpu_get_regs(&self->vcpu, &got);
		EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)))
			TH_LOG("register %u", i);
	}
}

TEST_F(registers, repeated_gets_without_a_run_are_equal)
{
	struct kvm_regs first, again;
	struct kvm_sregs sfirst, sagain;

	choose_next(&self->vm, OP_HLT);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &first);
	vcpu_get_sregs(&self->vcpu, &sfirst);
	for (int i = 0; i < 10; i++) {
		vcpu_get_sregs(&self->vcpu, &sagain);
		vcpu_get_regs(&self->vcpu, &again);
		EXPECT_EQ(0, memcmp(&first, &again, sizeof(first)));
		EXPECT_EQ(0, memcmp(&sfirst, &sagain, sizeof(sfirst)));
	}
}

TEST_F(registers, rflags_bit_1_is_always_set)
{
	struct kvm_regs regs;

	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags = 0;
	vcpu_set_regs(&self->vcpu, &regs);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(RFLAGS_FIXED, regs.rflags);

	/* VM-entry would fail with the bit clear. */
	choose_next(&self->vm, OP_HLT);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(RFLAGS_FIXED, vm_read64(&self->vm, OPS_STORE + REGS_RFLAGS));
}

TEST_F(registers, guest_sees_each_register_that_was_set)
{
	struct kvm_regs set = { .rip = op_start(OP_SWAP), .rflags = RFLAGS_FIXED | 0x8d5 };
	struct kvm_regs seen;

	fill_pattern(&set, 0x5500aa00ff000011);
	vcpu_set_regs(&self->vcpu, &set);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	memcpy(&seen, vm_at(&self->vm, OPS_STORE), sizeof(seen));
	seen.rip = set.rip;
	EXPECT_EQ(0, memcmp(&set, &seen, sizeof(set)));
}

TEST_F(registers, get_regs_sees_each_register_that_the_guest_changed)
{
	struct kvm_regs load = { .rflags = RFLAGS_FIXED | 0x8d5 };
	struct kvm_regs got;

	fill_pattern(&load, 0x1122334455667788);
	memcpy(vm_at(&self->vm, OPS_LOAD), &load, sizeof(load));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 1));
	EXPECT_EQ((uint8_t)load.rax, *(uint8_t *)vcpu_io_data(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &got);
	load.rip = op_after(OP_SWAP);
	EXPECT_EQ(0, memcmp(&load, &got, sizeof(load)));
}

TEST_F(registers, guest_continues_at_the_rip_that_was_set)
{
	struct kvm_regs regs;

	vcpu_set_rip(&self->vcpu, op_start(OP_HLT));
	ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(op_after(OP_HLT), regs.rip);

	vcpu_set_rip(&self->vcpu, op_start(OP_OUT32));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_TRUE(vcpu_is_io(&self->vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 4));
}

TEST_F(registers, values_survive_many_exits)
{
	struct kvm_regs set = { .rip = op_start(OP_HLT), .rflags = RFLAGS_FIXED | 0x8d5 };
	struct kvm_regs got;

	fill_pattern(&set, 0xfeedfacecafef00d);
	vcpu_set_regs(&self->vcpu, &set);
	choose_next(&self->vm, OP_HLT);
	for (int i = 0; i < (int)rounds(500); i++) {
		ASSERT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
	}
	vcpu_get_regs(&self->vcpu, &got);
	set.rip = op_after(OP_HLT);
	EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)));
}

/*
 * Usable code, data, LDT or TSS descriptors whose fields all differ. G agrees
 * with the limit, as in a CPU that keeps only one of them.
 */
static struct kvm_segment distinct_segment(unsigned int n, uint8_t type, uint8_t s)
{
	return (struct kvm_segment) {
		.base = 0x10000 * (n + 1) + 0x230, .limit = 0x1000 * (n + 3) + 0xfff + (n & 2 ? 0x10000000 : 0),
		.selector = 0x100 + 8 * n, .type = type, .present = 1, .dpl = 0, .db = n & 1, .s = s, .l = 0,
		.g = n >> 1 & 1, .avl = n >> 2 & 1,
	};
}

TEST_F(registers, get_sregs_returns_the_segments_of_set_sregs)
{
	struct kvm_sregs set, got;

	vcpu_get_sregs(&self->vcpu, &set);
	set.es = distinct_segment(0, 3, 1);
	set.cs = distinct_segment(1, 11, 1);
	set.ss = distinct_segment(3, 3, 1);
	set.ds = distinct_segment(4, 1, 1);
	set.fs = distinct_segment(5, 5, 1);
	set.gs = distinct_segment(6, 7, 1);
	set.ldt = distinct_segment(8, 2, 0);
	set.tr = distinct_segment(10, 11, 0);
	vcpu_set_sregs(&self->vcpu, &set);
	vcpu_get_sregs(&self->vcpu, &got);

	/* One check per segment, so that a failure names it. */
	EXPECT_EQ(0, memcmp(&set.es, &got.es, sizeof(set.es)));
	EXPECT_EQ(0, memcmp(&set.cs, &got.cs, sizeof(set.cs)));
	EXPECT_EQ(0, memcmp(&set.ss, &got.ss, sizeof(set.ss)));
	EXPECT_EQ(0, memcmp(&set.ds, &got.ds, sizeof(set.ds)));
	EXPECT_EQ(0, memcmp(&set.fs, &got.fs, sizeof(set.fs)));
	EXPECT_EQ(0, memcmp(&set.gs, &got.gs, sizeof(set.gs)));
	EXPECT_EQ(0, memcmp(&set.ldt, &got.ldt, sizeof(set.ldt)));
	EXPECT_EQ(0, memcmp(&set.tr, &got.tr, sizeof(set.tr)));
	EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)));
}

TEST_F(registers, each_segment_field_changes_alone)
{
	struct kvm_sregs set, got;
	struct kvm_segment *all[6] = { &set.es, &set.ds, &set.fs, &set.gs, &set.cs, &set.ss };

	vcpu_get_sregs(&self->vcpu, &set);
	for (unsigned int i = 0; i < 6; i++)
		*all[i] = distinct_segment(i, i == 4 ? 11 : 3, 1);

	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int field = 0; field < 6; field++) {
			switch (field) {
			case 0:
				all[i]->base += 0x111000;
				break;
			case 1:
				all[i]->limit ^= 0xf000;
				break;
			case 2:
				all[i]->selector ^= 0x40;
				break;
			case 3:
				all[i]->avl ^= 1;
				break;
			case 4:
				all[i]->g ^= 1;
				all[i]->limit ^= 0x10000000;
				break;
			case 5:
				all[i]->db ^= 1;
				break;
			}
			vcpu_set_sregs(&self->vcpu, &set);
			vcpu_get_sregs(&self->vcpu, &got);
			EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)))
				TH_LOG("segment %u, field %u", i, field);
		}
	}
}

TEST_F(registers, unusable_segments_stay_unusable)
{
	struct kvm_sregs sregs;

	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.fs = (struct kvm_segment) { .unusable = 1 };
	sregs.ldt = (struct kvm_segment) { .unusable = 1 };
	vcpu_set_sregs(&self->vcpu, &sregs);
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(1, sregs.fs.unusable);
	EXPECT_EQ(1, sregs.ldt.unusable);
	EXPECT_EQ(0, sregs.ds.unusable);

	/* A guest with such segments runs. */
	vcpu_set_rip(&self->vcpu, op_start(OP_HLT));
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

TEST_F(registers, tables_control_registers_and_efer_are_kept)
{
	struct kvm_sregs set, got;

	vcpu_get_sregs(&self->vcpu, &set);
	set.gdt.base = 0xffff800000012340;
	set.gdt.limit = 0x1237;
	set.idt.base = 0x00007fff00056780;
	set.idt.limit = 0xfed;
	set.cr0 ^= CR0_TS | CR0_AM | CR0_WP;
	set.cr2 = 0xdeadbeef12345678;
	set.cr3 = GUEST_PML4 | 0x18;
	set.cr4 ^= CR4_TSD | CR4_DE | CR4_PGE;
	set.cr8 = 9;
	set.efer ^= EFER_SCE;
	/* Without an in-kernel APIC, each run takes CR8 from here. */
	self->vcpu.run->cr8 = set.cr8;
	vcpu_set_sregs(&self->vcpu, &set);
	vcpu_get_sregs(&self->vcpu, &got);
	EXPECT_EQ(set.gdt.base, got.gdt.base);
	EXPECT_EQ(set.gdt.limit, got.gdt.limit);
	EXPECT_EQ(set.idt.base, got.idt.base);
	EXPECT_EQ(set.idt.limit, got.idt.limit);
	EXPECT_EQ(set.cr0, got.cr0);
	EXPECT_EQ(set.cr2, got.cr2);
	EXPECT_EQ(set.cr3, got.cr3);
	EXPECT_EQ(set.cr4, got.cr4);
	EXPECT_EQ(set.cr8, got.cr8);
	EXPECT_EQ(set.efer, got.efer);

	/* The guest sees the same. */
	struct kvm_regs regs;

	choose_next(&self->vm, OP_SEGMENTS);
	vcpu_set_rip(&self->vcpu, op_start(OP_READ_CR));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(set.cr0, regs.rax);
	EXPECT_EQ(set.cr2, regs.rbx);
	EXPECT_EQ(set.cr3, regs.rcx);
	EXPECT_EQ(set.cr4, regs.rdx);
	EXPECT_EQ(set.cr8, regs.rsi);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(set.gdt.limit, *(uint16_t *)vm_at(&self->vm, OPS_GDTR));
	EXPECT_EQ(set.gdt.base, vm_read64(&self->vm, OPS_GDTR + 2));
	EXPECT_EQ(set.idt.limit, *(uint16_t *)vm_at(&self->vm, OPS_IDTR));
	EXPECT_EQ(set.idt.base, vm_read64(&self->vm, OPS_IDTR + 2));
}

TEST_F(registers, guest_sees_the_selectors_that_were_set)
{
	const uint16_t *seen = vm_at(&self->vm, OPS_SELECTORS);
	struct kvm_sregs sregs;

	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.es.selector = SEL_DATA;
	sregs.ds.selector = SEL_USER_DATA;
	sregs.fs.selector = SEL_DATA16;
	sregs.gs.selector = 0x1238;
	sregs.ldt = distinct_segment(4, 2, 0);
	sregs.tr.selector = 0x4560;
	vcpu_set_sregs(&self->vcpu, &sregs);
	vcpu_set_rip(&self->vcpu, op_start(OP_SEGMENTS));
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	EXPECT_EQ(sregs.es.selector, seen[0]);
	EXPECT_EQ(sregs.cs.selector, seen[1]);
	EXPECT_EQ(sregs.ss.selector, seen[2]);
	EXPECT_EQ(sregs.ds.selector, seen[3]);
	EXPECT_EQ(sregs.fs.selector, seen[4]);
	EXPECT_EQ(sregs.gs.selector, seen[5]);
	EXPECT_EQ(sregs.ldt.selector, seen[6]);
	EXPECT_EQ(sregs.tr.selector, seen[7]);
}

/* The offset of the first byte that differs, for messages. */
static size_t first_difference(const void *one, const void *other, size_t size)
{
	const uint8_t *a = one, *b = other;
	size_t i;

	for (i = 0; i < size && a[i] == b[i]; i++)
		;
	return i;
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

TEST_F(registers, guest_and_userspace_exchange_fpu_registers)
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

TEST_F(registers, reserved_mxcsr_bits_are_harmless)
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

TEST_F(registers, guest_and_userspace_exchange_debug_registers)
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

/* A breakpoint on the second NOP, and one on writes to a word. */
GUEST_ASM(breakpoint, 64,
	"	nop\n"
	"	nop\n"
	"	hlt\n"
	"	movl $1, 0x20000\n"
	"	hlt\n");

TEST_F(registers, breakpoints_that_userspace_sets_are_hit)
{
	struct kvm_debugregs set = { .db = { GUEST_CODE + 1, GUEST_DATA }, .dr6 = 0xffff0ff0 };

	/* L0: execution, one byte. L1: writes, four bytes. */
	if (machine_is_tcg())
		SKIP(return, "QEMU does not arm breakpoints at VM-entry");
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

TEST_F(registers, xcr0_keeps_the_value_that_was_set)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 3 };

	if (!vcpu_has_xsave(&self->vcpu))
		SKIP(return, "the CPU has no XSAVE");
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	memset(&xcrs, 0xff, sizeof(xcrs));
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_XCRS, &xcrs));
	EXPECT_EQ(1U, xcrs.nr_xcrs);
	EXPECT_EQ(3U, xcrs.xcrs[0].value);
}

/* ---- after RESET ---- */

static struct kvm_segment reset_segment(uint16_t selector, uint64_t base, uint8_t type, uint8_t s)
{
	return (struct kvm_segment) {
		.selector = selector, .base = base, .limit = 0xffff, .type = type, .present = 1, .s = s,
	};
}

/* SDM Vol. 3A, table 10-1; DX has the family of the processor, and TR is busy, as VM-entry requires. */
TEST_F(registers, new_vcpu_is_in_the_state_after_reset)
{
	const struct kvm_segment data = reset_segment(0, 0, 3, 1);
	struct kvm_sregs sregs, wanted = {
		.cs = reset_segment(0xf000, 0xffff0000, 11, 1), .ss = data, .ds = data, .es = data, .fs = data, .gs = data,
		.ldt = reset_segment(0, 0, 2, 0), .tr = reset_segment(0, 0, 11, 0),
		.gdt.limit = 0xffff, .idt.limit = 0xffff, .cr0 = 0x60000010,
	};
	struct kvm_regs regs, wanted_regs = { .rip = 0xfff0, .rflags = 2 };
	struct kvm_debugregs debug;
	struct vcpu vcpu;
	struct vm vm;
	uint64_t pat;

	vm_create_bare(&vm);
	/* The first vCPU is the bootstrap processor. */
	for (uint32_t id = 0; id < 2; id++) {
		vcpu_create(&vcpu, &vm, id);
		vcpu_get_regs(&vcpu, &regs);
		EXPECT_EQ(6U, regs.rdx >> 8 & 0xf);
		wanted_regs.rdx = regs.rdx;
		EXPECT_EQ(0, memcmp(&wanted_regs, &regs, sizeof(regs)));
		vcpu_get_sregs(&vcpu, &sregs);
		wanted.apic_base = id ? 0xfee00800 : 0xfee00900;
		EXPECT_EQ(sizeof(sregs), first_difference(&wanted, &sregs, sizeof(sregs)));
		ASSERT_EQ(0, ioctl_ptr(vcpu.fd, KVM_GET_DEBUGREGS, &debug));
		EXPECT_EQ(0xffff0ff0U, debug.dr6);
		EXPECT_EQ(0x400U, debug.dr7);
		ASSERT_TRUE(vcpu_get_msr(&vcpu, 0x277, &pat));
		EXPECT_EQ(0x0007040600070406U, pat);
		vcpu_destroy(&vcpu);
	}
	vm_destroy(&vm);
}

/* ---- random accesses ---- */

/* A second set of registers, to which the effect of each operation is applied. */
struct model {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	/* Leaf 0. */
	struct kvm_cpuid_entry2 cpuid;
	unsigned int op;
	/* An IN that has exited and is not complete. */
	int in_bytes;
	uint32_t in_value;
};

#define ALTERNATE_PML4 GUEST_FREE
static void change_regs(struct model *model)
{
	__u64 *word = (__u64 *)&model->regs;
	unsigned int changes = 1 + random_below(4);

	while (changes--)
		word[random_below(REGS_RIP / 8)] = random_register();
	if (random_below(3) == 0)
		model->regs.rflags = RFLAGS_FIXED | (random64() & FREE_FLAGS);
	/* If RIP is set, OPS_NEXT is not used. */
	if (random_below(3) == 0)
		model->regs.rip = op_start(random_below(OP_COUNT));
}

static void change_segment(struct kvm_segment *segment)
{
	*segment = distinct_segment(random_below(16), 3, 1);
	segment->base = random_canonical();
	segment->selector = random64();
}

static void change_sregs(struct model *model)
{
	struct kvm_sregs *sregs = &model->sregs;

	switch (random_below(8)) {
	case 0:
		change_segment(&sregs->fs);
		break;
	case 1:
		change_segment(&sregs->gs);
		break;
	case 2:
		sregs->gdt.base = random_canonical();
		sregs->gdt.limit = random64();
		break;
	case 3:
		sregs->idt.base = random_canonical();
		sregs->idt.limit = random64();
		break;
	case 4:
		sregs->cr2 = random_register();
		sregs->cr8 = random_below(16);
		break;
	case 5:
		sregs->cr3 = random_below(2) ? ALTERNATE_PML4 : GUEST_PML4;
		break;
	case 6:
		sregs->cr0 ^= random64() & (CR0_MP | CR0_TS | CR0_AM | CR0_WP | CR0_NE);
		sregs->cr4 ^= random64() & (CR4_TSD | CR4_DE | CR4_PGE | CR4_OSXMMEXCPT);
		break;
	case 7:
		/* TR is never in an LDT. */
		sregs->tr.selector = random64() & ~7;
		sregs->tr.base = random_canonical();
		sregs->efer ^= random64() & (EFER_SCE | EFER_NX);
		break;
	}
}

static void model_finish_in(struct model *model)
{
	uint64_t mask = model->in_bytes == 1 ? 0xff : model->in_bytes == 2 ? 0xffff : ~0UL;

	if (model->in_bytes)
		model->regs.rax = (model->regs.rax & ~mask) | (model->in_value & mask);
	model->in_bytes = 0;
}

/* Advances the model to the exit of the next operation. */
static void model_step(struct model *model, struct vm *vm)
{
	const struct kvm_regs *load = vm_at(vm, OPS_LOAD);
	uint64_t next = vm_read64(vm, OPS_NEXT);
	unsigned int op;

	for (op = 0; op < OP_COUNT && model->regs.rip != op_start(op); op++)
		;
	if (op == OP_COUNT) {
		/* RIP is after the exit of the last operation: the jump is taken. */
		for (op = 0; next != op_start(op); op++)
			;
	}
	model->op = op;
	if (op == OP_SWAP)
		model->regs = *load;
	if (op == OP_CPUID) {
		model->regs.rax = model->cpuid.eax;
		model->regs.rbx = model->cpuid.ebx;
		model->regs.rcx = model->cpuid.ecx;
		model->regs.rdx = model->cpuid.edx;
	}
	if (op == OP_READ_CR) {
		model->regs.rax = model->sregs.cr0;
		model->regs.rbx = model->sregs.cr2;
		model->regs.rcx = model->sregs.cr3;
		model->regs.rdx = model->sregs.cr4;
		model->regs.rsi = model->sregs.cr8;
	}
	model->regs.rip = op_after(op);
}

/* 1 if the exit is the one that the operation causes. */
static int exit_matches(const struct model *model, struct vcpu *vcpu)
{
	uint16_t dx = model->regs.rdx;
	uint32_t data = 0;

	if (model->op == OP_HLT)
		return vcpu->run->exit_reason == KVM_EXIT_HLT;
	if (vcpu->run->exit_reason != KVM_EXIT_IO)
		return 0;
	switch (model->op) {
	case OP_IN8:
		return vcpu_is_io(vcpu, KVM_EXIT_IO_IN, PORT_TEST, 1);
	case OP_IN16:
		return vcpu_is_io(vcpu, KVM_EXIT_IO_IN, PORT_TEST, 2);
	case OP_IN32:
		return vcpu_is_io(vcpu, KVM_EXIT_IO_IN, PORT_TEST, 4);
	case OP_IN32_DX:
		return vcpu_is_io(vcpu, KVM_EXIT_IO_IN, dx, 4);
	case OP_OUT16_DX:
		memcpy(&data, vcpu_io_data(vcpu), 2);
		return vcpu_is_io(vcpu, KVM_EXIT_IO_OUT, dx, 2) && data == (uint16_t)model->regs.rax;
	case OP_OUT32:
		memcpy(&data, vcpu_io_data(vcpu), 4);
		return vcpu_is_io(vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 4) && data == (uint32_t)model->regs.rax;
	default:
		memcpy(&data, vcpu_io_data(vcpu), 1);
		return vcpu_is_io(vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 1) && data == (uint8_t)model->regs.rax;
	}
}

/* Gives the IN its data, which the model records. */
static void answer_in(struct model *model, struct vcpu *vcpu)
{
	if (vcpu->run->exit_reason != KVM_EXIT_IO || vcpu->run->io.direction != KVM_EXIT_IO_IN)
		return;
	model->in_bytes = vcpu->run->io.size;
	model->in_value = random64();
	memcpy(vcpu_io_data(vcpu), &model->in_value, model->in_bytes);
}

/* 1 if the guest stored the right values in memory before the exit. */
static int stores_match(const struct model *model, const struct kvm_regs *before, struct vm *vm)
{
	const uint16_t *selectors = vm_at(vm, OPS_SELECTORS);
	const struct kvm_regs *stored = vm_at(vm, OPS_STORE);
	const struct kvm_sregs *sregs = &model->sregs;

	if (model->op == OP_SWAP)
		return !memcmp(stored, before, REGS_RIP) && stored->rflags == before->rflags;
	if (model->op == OP_SEGMENTS)
		return selectors[4] == sregs->fs.selector && selectors[5] == sregs->gs.selector &&
		       selectors[7] == sregs->tr.selector && vm_read64(vm, OPS_GDTR + 2) == sregs->gdt.base &&
		       vm_read64(vm, OPS_IDTR + 2) == sregs->idt.base;
	return 1;
}

static void fill_load_area(struct vm *vm)
{
	struct kvm_regs load = { .rflags = RFLAGS_FIXED | (random64() & FREE_FLAGS) };
	__u64 *word = (__u64 *)&load;

	for (unsigned int i = 0; i < REGS_RIP / 8; i++)
		word[i] = random_register();
	memcpy(vm_at(vm, OPS_LOAD), &load, sizeof(load));
}

TEST_F_TIMEOUT(registers, random_accesses_agree_with_a_model, 120)
{
	struct vcpu *vcpu = &self->vcpu;
	struct vm *vm = &self->vm;
	struct model model = { .in_bytes = 0 };
	struct kvm_regs before, got;
	struct kvm_cpuid2 *cpuid;
	struct kvm_sregs sgot;

	random_start();
	memcpy(vm_at(vm, ALTERNATE_PML4), vm_at(vm, GUEST_PML4), PAGE_BYTES);
	fill_load_area(vm);
	vcpu_get_regs(vcpu, &model.regs);
	vcpu_get_sregs(vcpu, &model.sregs);
	cpuid = cpuid_of_vcpu(vcpu);
	model.cpuid = *cpuid_find(cpuid, 0, 0);
	free(cpuid);

	for (int step = 0; step < (int)rounds(1500); step++) {
		choose_next(vm, random_below(OP_COUNT));
		model_finish_in(&model);
		before = model.regs;
		model_step(&model, vm);
		if (vcpu_run(vcpu) < 0 || !exit_matches(&model, vcpu) || !stores_match(&model, &before, vm)) {
			ASSERT_TRUE(false)
				TH_LOG("step %d, operation %u, exit %u", step, model.op, vcpu->run->exit_reason);
		}
		answer_in(&model, vcpu);

		/* Often nothing is checked, so that the guest continues with cached registers. */
		if (random_below(3) == 0)
			continue;
		vcpu_complete_io(vcpu);
		model_finish_in(&model);
		if (random_below(2)) {
			vcpu_get_regs(vcpu, &got);
			ASSERT_EQ(sizeof(got), first_difference(&model.regs, &got, sizeof(got)))
				TH_LOG("step %d, operation %u", step, model.op);
		}
		if (random_below(3) == 0) {
			vcpu_get_sregs(vcpu, &sgot);
			ASSERT_EQ(sizeof(sgot), first_difference(&model.sregs, &sgot, sizeof(sgot)))
				TH_LOG("step %d, operation %u", step, model.op);
		}
		if (random_below(3) == 0) {
			change_regs(&model);
			vcpu_set_regs(vcpu, &model.regs);
		}
		if (random_below(3) == 0) {
			change_sregs(&model);
			vcpu->run->cr8 = model.sregs.cr8;
			vcpu_set_sregs(vcpu, &model.sregs);
		}
		if (random_below(4) == 0)
			fill_load_area(vm);
	}
}

TEST_HARNESS_MAIN
