/* SPDX-License-Identifier: GPL-2.0 */
/*
 * 64-bit exception stubs. They run at GUEST_EXC_STUBS, record what the CPU
 * reported, and return to the resume address if the guest set one.
 */
#include "guest.h"

#define RECORD(field) GUEST_EXC_RECORD + field

	.section .rodata
	.code64
	.balign 16
	.globl guest_exc_stubs64
	.globl guest_exc_stubs64_end
guest_exc_stubs64:
	.set	vector, 0
	.rept	32
	.balign	16
	/* Bits set: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP push an error code. */
	.if	!((0x00227d00 >> vector) & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	common64
	.set	vector, vector + 1
	.endr

	.balign	16
common64:
	/* The stack: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
	pushq	%rax
	incq	RECORD(EXC_COUNT)
	movq	8(%rsp), %rax
	movq	%rax, RECORD(EXC_VECTOR)
	movq	16(%rsp), %rax
	movq	%rax, RECORD(EXC_ERROR)
	movq	24(%rsp), %rax
	movq	%rax, RECORD(EXC_RIP)
	movq	40(%rsp), %rax
	movq	%rax, RECORD(EXC_RFLAGS)
	movq	%cr2, %rax
	movq	%rax, RECORD(EXC_CR2)
	movq	%dr6, %rax
	movq	%rax, RECORD(EXC_DR6)
	movq	RECORD(EXC_RESUME), %rax
	testq	%rax, %rax
	jz	1f
	movq	%rax, 24(%rsp)
	/* A resume address is used once, and is not single-stepped from. */
	movq	$0, RECORD(EXC_RESUME)
	andl	$~0x100, 40(%rsp)
1:
	popq	%rax
	addq	$16, %rsp
	iretq
guest_exc_stubs64_end:

	.section .note.GNU-stack, "", @progbits
