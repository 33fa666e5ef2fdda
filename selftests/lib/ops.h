/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A long-mode guest made of small operations. Each ends in an exit to userspace
 * and continues at the address that userspace keeps in OPS_NEXT, so that no
 * register is spent on control and userspace need not set RIP.
 */
#ifndef SELFTESTS_LIB_OPS_H
#define SELFTESTS_LIB_OPS_H

#include "guest.h"

/* The address of the next operation. */
#define OPS_NEXT	(GUEST_DATA + 0x000)
/* OP_SWAP stores here, as struct kvm_regs without RIP ... */
#define OPS_STORE	(GUEST_DATA + 0x100)
/* ... and loads from here. */
#define OPS_LOAD	(GUEST_DATA + 0x200)
/* OP_SEGMENTS: ES, CS, SS, DS, FS, GS, LDTR, TR as 8 words, then GDTR, IDTR. */
#define OPS_SELECTORS	(GUEST_DATA + 0x300)
#define OPS_GDTR	(GUEST_DATA + 0x310)
#define OPS_IDTR	(GUEST_DATA + 0x320)

/* Byte offsets in struct kvm_regs. */
#define REGS_RAX	0x00
#define REGS_RBX	0x08
#define REGS_RCX	0x10
#define REGS_RDX	0x18
#define REGS_RSI	0x20
#define REGS_RDI	0x28
#define REGS_RSP	0x30
#define REGS_RBP	0x38
#define REGS_R8		0x40
#define REGS_R9		0x48
#define REGS_R10	0x50
#define REGS_R11	0x58
#define REGS_R12	0x60
#define REGS_R13	0x68
#define REGS_R14	0x70
#define REGS_R15	0x78
#define REGS_RIP	0x80
#define REGS_RFLAGS	0x88

/* Operations, as indices into guest_ops_table. */
#define OP_SWAP		0	/* all registers to OPS_STORE, from OPS_LOAD, OUT */
#define OP_CPUID	1	/* CPUID leaf 0, OUT */
#define OP_IN8		2
#define OP_IN16		3
#define OP_IN32		4
#define OP_IN32_DX	5
#define OP_OUT8		6
#define OP_OUT16_DX	7
#define OP_OUT32	8
#define OP_HLT		9
#define OP_SEGMENTS	10	/* selectors and descriptor tables to memory, OUT */
#define OP_READ_CR	11	/* CR0, CR2, CR3, CR4, CR8 to RAX, RBX, RCX, RDX, RSI, OUT */
#define OP_COUNT	12

#ifndef __ASSEMBLER__
#include <stdint.h>

/* Offsets from the start of the guest's code. */
struct guest_op {
	uint32_t start;
	/* After the instruction that exits to userspace. */
	uint32_t after_exit;
};

extern const struct guest_op guest_ops_table[OP_COUNT];
extern const uint8_t guest_ops[], guest_ops_end[];
#endif

#endif /* SELFTESTS_LIB_OPS_H */
