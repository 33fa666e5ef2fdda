/* SPDX-License-Identifier: GPL-2.0 */
/* 32-bit exception stubs: see exc_stubs64.S. */
#include "guest.h"

#define RECORD(field) GUEST_EXC_RECORD + field

	.section .rodata
	.code32
	.balign 16
	.globl guest_exc_stubs32
	.globl guest_exc_stubs32_end
guest_exc_stubs32:
	.set	vector, 0
	.rept	32
	.balign	16
	.if	!((0x00227d00 >> vector) & 1)
	pushl	$0
	.endif
	pushl	$vector
	jmp	common32
	.set	vector, vector + 1
	.endr

	.balign	16
common32:
	/* The stack: vector, error code, EIP, CS, EFLAGS. */
	pushl	%eax
	incl	RECORD(EXC_COUNT)
	movl	4(%esp), %eax
	movl	%eax, RECORD(EXC_VECTOR)
	movl	8(%esp), %eax
	movl	%eax, RECORD(EXC_ERROR)
	movl	12(%esp), %eax
	movl	%eax, RECORD(EXC_RIP)
	movl	20(%esp), %eax
	movl	%eax, RECORD(EXC_RFLAGS)
	movl	%cr2, %eax
	movl	%eax, RECORD(EXC_CR2)
	movl	%dr6, %eax
	movl	%eax, RECORD(EXC_DR6)
	movl	RECORD(EXC_RESUME), %eax
	testl	%eax, %eax
	jz	1f
	movl	%eax, 12(%esp)
	movl	$0, RECORD(EXC_RESUME)
	andl	$~0x100, 20(%esp)
1:
	popl	%eax
	addl	$8, %esp
	iretl
guest_exc_stubs32_end:

	.section .note.GNU-stack, "", @progbits
