/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A long-mode guest that juggles every register.  Userspace writes the values to load into the vCPU's window, a linear
 * address that each vCPU's own page tables map elsewhere; the guest loads them, goes through exits that the hypervisor
 * handles by itself, checks its general-purpose registers, uses the MSRs as hardware does, records all others, loads
 * its general-purpose registers again and exits to userspace.
 */
#ifndef SELFTESTS_LIB_JUGGLE_H
#define SELFTESTS_LIB_JUGGLE_H

#include "guest.h"

#define JUGGLE_WINDOW		0x200000
#define JUGGLE_WINDOW_BYTES	0x10000

/* 16 general-purpose registers in the order of struct kvm_regs, then RFLAGS. */
#define JUGGLE_LOAD		(JUGGLE_WINDOW + 0x000)
#define JUGGLE_STORE		(JUGGLE_WINDOW + 0x100)
#define JUGGLE_GPRS		16
/* The guest's exit for this turn: an address. */
#define JUGGLE_NEXT		(JUGGLE_WINDOW + 0x200)
#define JUGGLE_SPINS		(JUGGLE_WINDOW + 0x208)
/* For XSAVE and XRSTOR; 0 means FXSAVE and FXRSTOR. */
#define JUGGLE_XMASK		(JUGGLE_WINDOW + 0x210)
#define JUGGLE_HAS_RDTSCP	(JUGGLE_WINDOW + 0x218)
/* The first word that was wrong in the guest's own check. */
#define JUGGLE_WRONG		(JUGGLE_WINDOW + 0x220)
/* CR0, CR2, CR3, CR4, CR8, DR0, DR1, DR2, DR3, DR7; then the values that the guest found. */
#define JUGGLE_SYSTEM		(JUGGLE_WINDOW + 0x300)
#define JUGGLE_SYSTEM_FOUND	(JUGGLE_WINDOW + 0x380)
#define JUGGLE_SYSTEM_WORDS	10
/* ES, DS, FS, GS as words. */
#define JUGGLE_SELECTORS	(JUGGLE_WINDOW + 0x400)
#define JUGGLE_SELECTORS_FOUND	(JUGGLE_WINDOW + 0x410)
#define JUGGLE_GDTR		(JUGGLE_WINDOW + 0x420)
#define JUGGLE_IDTR		(JUGGLE_WINDOW + 0x430)
#define JUGGLE_GDTR_FOUND	(JUGGLE_WINDOW + 0x440)
#define JUGGLE_IDTR_FOUND	(JUGGLE_WINDOW + 0x450)
/* Pairs of number and value; then the values that were found. */
#define JUGGLE_MSRS		(JUGGLE_WINDOW + 0x500)
#define JUGGLE_MSRS_FOUND	(JUGGLE_WINDOW + 0x600)
#define JUGGLE_MSR_COUNT	12
/* The values that RDTSCP, SWAPGS and SYSCALL used. */
#define JUGGLE_AUX_USED		(JUGGLE_WINDOW + 0x700)
#define JUGGLE_BASE_USED	(JUGGLE_WINDOW + 0x708)
#define JUGGLE_PAD_USED		(JUGGLE_WINDOW + 0x710)
#define JUGGLE_SYSCALL_FLAGS	(JUGGLE_WINDOW + 0x718)
#define JUGGLE_FLAGS_MASKED	(JUGGLE_WINDOW + 0x720)
/* EAX, EBX, ECX and EDX of CPUID leaf 0. */
#define JUGGLE_CPUID_FOUND	(JUGGLE_WINDOW + 0x728)
#define JUGGLE_XSAVE_IN		(JUGGLE_WINDOW + 0x1000)
#define JUGGLE_XSAVE_OUT	(JUGGLE_WINDOW + 0x2000)
/* A page that userspace maps elsewhere at each turn, and one without memory. */
#define JUGGLE_FRESH_PAGE	(JUGGLE_WINDOW + 0x3000)
#define JUGGLE_NO_PAGE		(JUGGLE_WINDOW + 0x4000)

/* Where LSTAR may point. */
#define JUGGLE_PADS		16
#define JUGGLE_PAD_BYTES	16

#define JUGGLE_OUT		0
#define JUGGLE_IN		1
#define JUGGLE_HLT		2
#define JUGGLE_NO_MEMORY	3
#define JUGGLE_EXITS		4

#ifndef __ASSEMBLER__
#include <stdint.h>

extern const uint8_t guest_juggle[], guest_juggle_end[];

/* Offsets from the start of the guest's code: exits, where RIP is at each, and where a new turn begins. */
struct juggle_exit {
	uint32_t start;
	uint32_t rip;
};

extern const struct juggle_exit juggle_exits[JUGGLE_EXITS];
extern const uint32_t juggle_pads_offset;
#endif

#endif /* SELFTESTS_LIB_JUGGLE_H */
