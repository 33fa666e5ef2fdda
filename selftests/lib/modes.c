// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "modes.h"

#define PTE_PRESENT	0x01
#define PTE_WRITE	0x02
#define PTE_USER	0x04
#define PTE_LARGE	0x80

#define PTE_TABLE	(PTE_PRESENT | PTE_WRITE | PTE_USER)

/* Accessed is set everywhere: VM-entry requires it, and the CPU need not write it. */
static const uint64_t gdt[GDT_ENTRIES] = {
	[SEL_CODE64 / 8] = 0x00af9b000000ffff,
	[SEL_DATA / 8] = 0x00cf93000000ffff,
	[SEL_CODE32 / 8] = 0x00cf9b000000ffff,
	/* 16-bit offsets reach the code and the data only from there. */
	[SEL_CODE16 / 8] = 0x00009b000000ffff | (uint64_t)GUEST_CODE << 16,
	[SEL_DATA16 / 8] = 0x000093000000ffff | (uint64_t)GUEST_DATA << 16,
	[SEL_USER_CODE32 / 8] = 0x00cffb000000ffff,
	[SEL_USER_DATA / 8] = 0x00cff3000000ffff,
	[SEL_USER_CODE64 / 8] = 0x00affb000000ffff,
	[SEL_TSS / 8] = 0x00008b0000000067 | (uint64_t)GUEST_TSS << 16,
};

void vm_write_tables(struct vm *vm)
{
	uint64_t *pml4 = vm_at(vm, GUEST_PML4);
	uint64_t *pdpt = vm_at(vm, GUEST_PDPT);
	uint64_t *pd = vm_at(vm, GUEST_PD);
	uint32_t *pd32 = vm_at(vm, GUEST_PD32);
	uint64_t *pdpt_pae = vm_at(vm, GUEST_PDPT_PAE);
	uint64_t i;

	memcpy(vm_at(vm, GUEST_GDT), gdt, sizeof(gdt));

	pml4[0] = GUEST_PDPT | PTE_TABLE;
	for (i = 0; i < 4; i++) {
		pdpt[i] = (GUEST_PD + i * PAGE_BYTES) | PTE_TABLE;
		/* Writable and user are reserved bits here. */
		pdpt_pae[i] = (GUEST_PD + i * PAGE_BYTES) | PTE_PRESENT;
	}
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PTE_TABLE | PTE_LARGE;
	for (i = 0; i < 1024; i++)
		pd32[i] = i << 22 | PTE_TABLE | PTE_LARGE;
}

static struct kvm_segment real_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment) {
		.selector = selector, .base = (uint64_t)selector << 4, .limit = 0xffff,
		.type = type, .present = 1, .s = 1,
	};
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, int is_64bit)
{
	return (struct kvm_segment) {
		.selector = selector, .limit = 0xffffffff, .type = type, .present = 1, .s = 1,
		.db = !is_64bit, .l = is_64bit, .g = 1,
	};
}

static struct kvm_segment task_segment(void)
{
	return (struct kvm_segment) {
		.selector = SEL_TSS, .base = GUEST_TSS, .limit = 0x67, .type = 11, .present = 1,
	};
}

static void set_data_segments(struct kvm_sregs *sregs, struct kvm_segment segment)
{
	sregs->ds = segment;
	sregs->es = segment;
	sregs->fs = segment;
	sregs->gs = segment;
	sregs->ss = segment;
}

static void set_start(struct vcpu *vcpu, uint64_t rip, uint64_t rsp)
{
	struct kvm_regs regs = { .rip = rip, .rsp = rsp, .rflags = RFLAGS_FIXED };

	vcpu_set_regs(vcpu, &regs);
}

void vcpu_enter_real(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	vm_write_tables(vcpu->vm);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs = real_segment(GUEST_CODE >> 4, 11);
	set_data_segments(&sregs, real_segment(GUEST_DATA >> 4, 3));
	sregs.cr0 = CR0_ET | CR0_NE;
	sregs.cr3 = 0;
	sregs.cr4 = 0;
	sregs.efer = 0;
	sregs.idt.base = GUEST_IVT;
	sregs.idt.limit = 0x3ff;
	vcpu_set_sregs(vcpu, &sregs);
	/* 16 bits of SP cannot hold the end of the 64 KiB segment. */
	set_start(vcpu, 0, GUEST_STACK - GUEST_DATA - 16);
}

static void enter_flat(struct vcpu *vcpu, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
	int is_64bit = !!(efer & EFER_LMA);
	struct kvm_sregs sregs;

	vm_write_tables(vcpu->vm);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs = flat_segment(is_64bit ? SEL_CODE64 : SEL_CODE32, 11, is_64bit);
	set_data_segments(&sregs, flat_segment(SEL_DATA, 3, 0));
	sregs.tr = task_segment();
	memset(&sregs.ldt, 0, sizeof(sregs.ldt));
	sregs.ldt.unusable = 1;
	sregs.gdt.base = GUEST_GDT;
	sregs.gdt.limit = sizeof(gdt) - 1;
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = 0;
	sregs.cr0 = cr0 | CR0_PE | CR0_ET | CR0_NE;
	sregs.cr3 = cr3;
	sregs.cr4 = cr4;
	sregs.efer = efer;
	vcpu_set_sregs(vcpu, &sregs);
	set_start(vcpu, GUEST_CODE, GUEST_STACK);
}

void vcpu_enter_protected(struct vcpu *vcpu)
{
	enter_flat(vcpu, 0, 0, CR4_OSFXSR, 0);
}

void vcpu_enter_paging32(struct vcpu *vcpu)
{
	enter_flat(vcpu, CR0_PG | CR0_WP, GUEST_PD32, CR4_PSE | CR4_OSFXSR, 0);
}

void vcpu_enter_pae(struct vcpu *vcpu)
{
	enter_flat(vcpu, CR0_PG | CR0_WP, GUEST_PDPT_PAE, CR4_PAE | CR4_OSFXSR, 0);
}

void vcpu_enter_long(struct vcpu *vcpu)
{
	enter_flat(vcpu, CR0_PG | CR0_WP | CR0_MP, GUEST_PML4, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT,
		   EFER_LME | EFER_LMA | EFER_SCE | EFER_NX);
}

void vcpu_enter_long5(struct vcpu *vcpu)
{
	uint64_t *pml5 = vm_at(vcpu->vm, GUEST_PML5);

	pml5[0] = GUEST_PML4 | PTE_TABLE;
	pml5[1] = GUEST_PML4 | PTE_TABLE;
	enter_flat(vcpu, CR0_PG | CR0_WP | CR0_MP, GUEST_PML5, CR4_PAE | CR4_LA57 | CR4_OSFXSR | CR4_OSXMMEXCPT,
		   EFER_LME | EFER_LMA | EFER_SCE | EFER_NX);
}
