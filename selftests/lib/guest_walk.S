/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that switches by itself from real mode to protected mode, to paging,
 * to long mode, and all the way back. It reports each station on PORT_TEST.
 */
#include "guest.h"

#define CODE_SEGMENT	(GUEST_CODE >> 4)
#define AT(label)	GUEST_CODE + label - guest_walk

	.section .rodata
	.globl guest_walk
	.globl guest_walk_end
	.code16
guest_walk:
	movb	$1, %al
	outb	%al, $PORT_TEST
	lgdtl	%cs:walk_gdtr - guest_walk
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE32, $AT(in_protected)

	.code32
in_protected:
	movw	$SEL_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$GUEST_STACK, %esp
	movb	$2, %al
	outb	%al, $PORT_TEST

	movl	%cr4, %eax
	orl	$0x20, %eax
	movl	%eax, %cr4
	movl	$GUEST_PML4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	/* Compatibility mode, until CS is loaded. */
	movb	$3, %al
	outb	%al, $PORT_TEST
	ljmpl	$SEL_CODE64, $AT(in_long)

	.code64
in_long:
	movb	$4, %al
	outb	%al, $PORT_TEST
	/* Uses features that only long mode has. */
	movabsq	$0x1122334455667788, %r15
	pushq	%r15
	popq	%r14
	subq	%r14, %r15
	jnz	walk_failed
	pushq	$SEL_CODE32
	pushq	$AT(in_compatibility)
	lretq

	.code32
in_compatibility:
	movb	$5, %al
	outb	%al, $PORT_TEST
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	movl	$0xc0000080, %ecx
	rdmsr
	andl	$~0x100, %eax
	wrmsr
	movb	$6, %al
	outb	%al, $PORT_TEST

	/* On the way back, PAE paging for a moment. */
	movl	$GUEST_PDPT_PAE, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	movb	$7, %al
	outb	%al, $PORT_TEST
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0

	/* And paging with 32-bit entries. */
	movl	%cr4, %eax
	andl	$~0x20, %eax
	orl	$0x10, %eax
	movl	%eax, %cr4
	movl	$GUEST_PD32, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	movb	$8, %al
	outb	%al, $PORT_TEST
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE16, $in_protected16 - guest_walk

	.code16
in_protected16:
	movw	$SEL_DATA16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movb	$9, %al
	outb	%al, $PORT_TEST
	movl	%cr0, %eax
	andl	$~1, %eax
	movl	%eax, %cr0
	ljmp	$CODE_SEGMENT, $in_real_again - guest_walk
in_real_again:
	movw	$GUEST_DATA >> 4, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movb	$10, %al
	outb	%al, $PORT_TEST
	movw	$0x600d, 0x700
	hlt

	.code64
walk_failed:
	outb	%al, $PORT_FAIL
	hlt

walk_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.long	GUEST_GDT
guest_walk_end:

	.section .note.GNU-stack, "", @progbits
