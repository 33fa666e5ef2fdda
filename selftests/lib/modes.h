/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Puts a fresh vCPU straight into a processor mode. RIP is GUEST_CODE, the
 * stack is at GUEST_STACK, the other registers are 0. Memory of at least
 * GUEST_MEM_SIZE is expected in slot 0.
 */
#ifndef SELFTESTS_LIB_MODES_H
#define SELFTESTS_LIB_MODES_H

#include "vm.h"

#define CR0_PE		0x00000001UL
#define CR0_MP		0x00000002UL
#define CR0_EM		0x00000004UL
#define CR0_TS		0x00000008UL
#define CR0_ET		0x00000010UL
#define CR0_NE		0x00000020UL
#define CR0_WP		0x00010000UL
#define CR0_AM		0x00040000UL
#define CR0_NW		0x20000000UL
#define CR0_CD		0x40000000UL
#define CR0_PG		0x80000000UL

#define CR4_TSD		0x00000004UL
#define CR4_DE		0x00000008UL
#define CR4_PSE		0x00000010UL
#define CR4_PAE		0x00000020UL
#define CR4_PGE		0x00000080UL
#define CR4_OSFXSR	0x00000200UL
#define CR4_OSXMMEXCPT	0x00000400UL
#define CR4_LA57	0x00001000UL
#define CR4_VMXE	0x00002000UL
#define CR4_FSGSBASE	0x00010000UL
#define CR4_OSXSAVE	0x00040000UL
#define CR4_SMEP	0x00100000UL
#define CR4_PKE		0x00400000UL

#define EFER_SCE	0x001UL
#define EFER_LME	0x100UL
#define EFER_LMA	0x400UL
#define EFER_NX		0x800UL

#define RFLAGS_FIXED	0x002UL
#define RFLAGS_TF	0x100UL
#define RFLAGS_IF	0x200UL
#define RFLAGS_DF	0x400UL
#define RFLAGS_RF	0x10000UL
#define RFLAGS_VM	0x20000UL
#define RFLAGS_AC	0x40000UL

/* CS, DS, ES and SS are GUEST_CODE or GUEST_DATA shifted; SS:SP is GUEST_STACK. */
void vcpu_enter_real(struct vcpu *vcpu);
/* Flat segments, paging off. */
void vcpu_enter_protected(struct vcpu *vcpu);
/* Flat segments, 4 MiB pages. */
void vcpu_enter_paging32(struct vcpu *vcpu);
/* Flat segments, PAE paging with 2 MiB pages. */
void vcpu_enter_pae(struct vcpu *vcpu);
/* 64-bit code, 4-level paging with 2 MiB pages that identity-map 4 GiB. */
void vcpu_enter_long(struct vcpu *vcpu);
/* The same with 5-level paging, and the 4 GiB mapped again from 2^48 on. The guest's CPUID must have it. */
void vcpu_enter_long5(struct vcpu *vcpu);

/*
 * Gives the guest an IDT whose stubs keep a record of the exception at
 * GUEST_EXC_RECORD. One for 64-bit code, one for 32-bit code.
 */
void vcpu_install_idt64(struct vcpu *vcpu);
void vcpu_install_idt32(struct vcpu *vcpu);

/* Writes the GDT and the page tables without touching a vCPU. */
void vm_write_tables(struct vm *vm);

#endif /* SELFTESTS_LIB_MODES_H */
