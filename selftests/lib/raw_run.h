/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KVM_RUN as a bare system call: the caller chooses every register before it,
 * and every register is saved after it, before any C code runs.
 */
#ifndef SELFTESTS_LIB_RAW_RUN_H
#define SELFTESTS_LIB_RAW_RUN_H

#define RAW_IN		0x00	/* RBX, RBP, R8, R9, R10, R12, R13, R14, R15 */
#define RAW_OUT		0x48	/* the same */
#define RAW_XSAVE_IN	0x90
#define RAW_XSAVE_OUT	0x98
#define RAW_XSAVE_MASK	0xa0	/* 0: do not touch these registers */
#define RAW_RDI_OUT	0xa8
#define RAW_RSI_OUT	0xb0
#define RAW_RDX_OUT	0xb8
#define RAW_FLAGS_IN	0xc0
#define RAW_FLAGS_OUT	0xc8
#define RAW_SELECTOR	0xd0	/* not 0: into DS, ES, FS and GS */
#define RAW_DS_OUT	0xd8
#define RAW_ES_OUT	0xe0
#define RAW_FS_OUT	0xe8
#define RAW_GS_OUT	0xf0
#define RAW_FS_WORD	0xf8	/* the words at FS:0 and GS:0 afterwards */
#define RAW_GS_WORD	0x100
#define RAW_FS_BASE	0x108	/* restored at the end if there was a selector */
#define RAW_REGISTERS	9

#ifndef __ASSEMBLER__
#include <stdint.h>

struct raw_state {
	uint64_t in[RAW_REGISTERS];
	uint64_t out[RAW_REGISTERS];
	void *xsave_in;
	void *xsave_out;
	uint64_t xsave_mask;
	uint64_t rdi_out;
	uint64_t rsi_out;
	uint64_t rdx_out;
	uint64_t flags_in;
	uint64_t flags_out;
	uint64_t selector;
	uint64_t ds_out;
	uint64_t es_out;
	uint64_t fs_out;
	uint64_t gs_out;
	uint64_t fs_word;
	uint64_t gs_word;
	uint64_t fs_base;
};

_Static_assert(sizeof(struct raw_state) == RAW_FS_BASE + 8, "assembly knows these offsets");

/* Returns the result of the system call: 0 or -errno. */
long raw_run(int fd, struct raw_state *state);
#endif

#endif /* SELFTESTS_LIB_RAW_RUN_H */
