/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest's view of its memory and ports, shared by assembly and C.
 * Everything lies below 1 MiB so that real mode reaches all of it.
 */
#ifndef SELFTESTS_LIB_GUEST_H
#define SELFTESTS_LIB_GUEST_H

#define GUEST_IVT		0x0
#define GUEST_GDT		0x1000
#define GUEST_IDT		0x2000
#define GUEST_TSS		0x3000
#define GUEST_PML4		0x4000
#define GUEST_PDPT		0x5000
/* Four page directories, one for each GiB below 4 GiB. */
#define GUEST_PD		0x6000
/* The directory of 32-bit paging, made of 4 MiB pages. */
#define GUEST_PD32		0xa000
#define GUEST_PDPT_PAE		0xb000
#define GUEST_EXC_STUBS		0xc000
#define GUEST_EXC_RECORD	0xe000
#define GUEST_PML5		0xf000
#define GUEST_CODE		0x10000
#define GUEST_DATA		0x20000
/* The stack grows down from here. */
#define GUEST_STACK		0x30000
/* Free for the test's own use, up to the end of memory. */
#define GUEST_FREE		0x40000
#define GUEST_MEM_SIZE		0x200000

/* Selectors of the GDT that the mode set-up writes. */
#define SEL_CODE64		0x08
#define SEL_DATA		0x10
#define SEL_CODE32		0x18
#define SEL_CODE16		0x20
#define SEL_DATA16		0x28
/* SYSRET requires user code32, data and code64 in this order. */
#define SEL_USER_CODE32		0x30
#define SEL_USER_DATA		0x38
#define SEL_USER_CODE64		0x40
#define SEL_TSS			0x48
#define GDT_ENTRIES		11

/* Offsets into the record that the exception stubs keep. */
#define EXC_COUNT		0x00
#define EXC_VECTOR		0x08
#define EXC_ERROR		0x10
#define EXC_RIP			0x18
#define EXC_RFLAGS		0x20
#define EXC_CR2			0x28
#define EXC_DR6			0x30
/* Where to resume after the exception; 0 returns to where it happened. */
#define EXC_RESUME		0x38

/* The guest has passed all its checks. */
#define PORT_DONE		0x10
/* A check of the guest's own failed; the step is at GUEST_STEP. */
#define PORT_FAIL		0x11
/* Free for the test's own use. */
#define PORT_TEST		0x20
#define PORT_TEST_DX		0x1020

/* The number of the check that the guest is at. */
#define GUEST_STEP		(GUEST_DATA + 0x00)
/* EAX, EBX, ECX and EDX of CPUID leaf 0, for the guest to compare. */
#define GUEST_CPUID0		(GUEST_DATA + 0x10)
/* If not 0, address 0x3fe00000 is not mapped, and the guest may get #PF there. */
#define GUEST_HAS_PAGING	(GUEST_DATA + 0x20)
#define GUEST_UNMAPPED		0x3fe00000
/* Bytes for OUTS, and the destination of INS. */
#define GUEST_OUTS		(GUEST_DATA + 0x1000)
#define GUEST_INS		(GUEST_DATA + 0x2000)
#define GUEST_STRING_BYTES	300

/* The data that every IN of the tests returns, by its size. */
#define IN_DATA8		0xa1
#define IN_DATA16		0xb2a1
#define IN_DATA32		0xd4c3b2a1

#endif /* SELFTESTS_LIB_GUEST_H */
