/* SPDX-License-Identifier: GPL-2.0 */
/* Addresses that the option ROM (rom.S), the start of each CPU (start.S) and the monitor (monitor.cc) share. */
#ifndef VMX_ON_SVM_LAYOUT_H
#define VMX_ON_SVM_LAYOUT_H

/*
 * The area: memory below 4 GiB that belongs to the monitor, aligned to its size, which is a power of two and follows from
 * the number of CPUs.  In it:
 */
#define AREA_LEAST_BYTES	0x400000
#define AREA_PAGE_TABLES	0x0000	/* PML4; two PDPTs that map 1 TiB to itself; PDPT and page directory of VIRTUAL_BASE */
#define AREA_PDPT		0x1000
#define AREA_HIGH_PDPT		0x3000
#define AREA_HIGH_DIRECTORY	0x4000
#define AREA_IMAGE		0x10000	/* the monitor, followed by its .bss */
#define AREA_CPUS		0x200000 /* one Cpu for each APIC ID */
#define CPU_STRIDE		0x48000	/* a multiple of VOS_STACK_BYTES */

/* The area's virtual address.  QEMU's kvmvapic patches code at addresses whose low half begins with 8 or e. */
#define VIRTUAL_BASE		0xffffffffc0000000

/* In the ROM: its code, then the space for the start-up page (an aligned page must fit), then the monitor. */
#define ROM_SPACE		0x800
#define ROM_PAYLOAD		0x2800
/* Blocks of 512 bytes that stay after initialization. */
#define ROM_KEPT_BLOCKS		(ROM_PAYLOAD / 512)

/*
 * The start-up page, where each CPU begins after SIPI: code, and these variables.  Its number is the vector of every SIPI
 * that reaches a CPU.
 */
#define START_CR3		0x08	/* the area's address */
#define START_AREA_BYTES	0x0c
#define START_FIRST		0x10	/* 1: initialization, on the boot CPU */
#define START_RESUME_ESP	0x14	/* where the boot CPU goes on, as a guest */
#define START_RESUME_SS		0x18
#define START_RESUME_CS		0x1a
#define START_RESUME_IP		0x1c
#define START_ROM_SEGMENT	0x1e
#define START_CR0		0x20
#define START_CR4		0x24
#define START_IDTR		0x28
#define START_GDTR		0x30
#define START_HOOK_E820		0x38	/* VMMCALL in the hook of INT 15h */
#define START_HOOK_E801		0x3a
#define START_CPUS		0x3c	/* one more than the greatest APIC ID */
#define START_CODE		0x40

#define SELECTOR_CODE32		0x08
#define SELECTOR_DATA		0x10
#define SELECTOR_CODE64		0x18

#endif
