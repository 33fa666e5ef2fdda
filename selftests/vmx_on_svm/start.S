/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The start-up page, as rom.S copies it: takes a CPU from real mode, after SIPI or after S3, to the monitor in 64-bit mode
 * (cpu_start in entry.S), with the address of the page in EBP.
 */
	.code16
start:
	cli
	jmp	1f
	.org	start + START_CODE
1:	movw	%cs, %ax
	movw	%ax, %ds
	xorl	%ebp, %ebp
	movw	%ax, %bp
	shll	$4, %ebp
	lgdtl	start_gdtr - start
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax		/* CD and NW clear */
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	*start_far32 - start

	.code32
start32:
	movw	$SELECTOR_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x20, %eax			/* PAE */
	movl	%eax, %cr4
	movl	START_CR3(%ebp), %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x1900, %eax			/* LME, NXE, SVME */
	wrmsr
	movl	$0x80010031, %eax		/* PG, WP, NE, ET, PE */
	movl	%eax, %cr0
	ljmpl	*start_far64 - start(%ebp)

	.code64
start64:
	movq	$VIRTUAL_BASE + AREA_IMAGE, %rax
	jmp	*%rax

	.balign	8
start_gdt:
	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
start_gdtr:
	.word	. - start_gdt - 1
	.long	0
start_far32:
	.long	0
	.word	SELECTOR_CODE32
start_far64:
	.long	0
	.word	SELECTOR_CODE64
start_end:
