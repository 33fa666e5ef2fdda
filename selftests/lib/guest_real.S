/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest in real mode. CS is GUEST_CODE, DS, ES and SS are GUEST_DATA as
 * segments, so offsets into the data are addresses minus GUEST_DATA.
 */
#include "guest.h"

#define DATA(address)	(address - GUEST_DATA)
#define CODE_SEGMENT	(GUEST_CODE >> 4)
#define DATA_SEGMENT	(GUEST_DATA >> 4)

	.macro	step number
	movw	$\number, DATA(GUEST_STEP)
	.endm

	.macro	check register, value
	cmp	$\value, \register
	jne	failed
	.endm

	/* Puts a handler into the vector table, which is at segment 0. */
	.macro	set_vector vector, handler
	movw	$\handler - guest_real, %fs:\vector * 4
	movw	$CODE_SEGMENT, %fs:\vector * 4 + 2
	.endm

	.section .rodata
	.code16
	.globl guest_real
	.globl guest_real_end
guest_real:
	xorw	%ax, %ax
	movw	%ax, %fs
	set_vector 0, on_divide
	set_vector 3, on_breakpoint
	set_vector 6, on_undefined
	set_vector 0x21, on_int21

	step	1
	movw	$0x1234, %ax
	int	$0x21
	check	%ax, 0x1235
	step	2
	movw	$0, %bx
	int3
	check	%bx, 0x33
	step	3
	ud2
	check	%bx, 0x66
	step	4
	movw	$1, %ax
	movb	$0, %cl
	divb	%cl
	check	%bx, 0x99

	/* The same instruction through another segment: base 16 bytes higher, offset 16 bytes lower. */
	step	10
	ljmp	$CODE_SEGMENT + 1, $1f - guest_real - 16
1:	movw	%cs, %ax
	check	%ax, (CODE_SEGMENT + 1)
	ljmp	$CODE_SEGMENT, $1f - guest_real
1:	movw	%cs, %ax
	check	%ax, CODE_SEGMENT
	step	11
	lcall	$CODE_SEGMENT + 2, $far_procedure - guest_real - 32
	check	%dx, 0x7788

	/* DS:0x500 is ES:0 if ES is 0x50 paragraphs higher. */
	step	12
	movw	%ds, %ax
	addw	$0x50, %ax
	movw	%ax, %es
	movw	$0xcafe, %es:0
	cmpw	$0xcafe, 0x500
	jne	failed
	/* A segment 256 paragraphs lower reaches the same word at an offset 4 KiB higher. */
	step	13
	movw	$DATA_SEGMENT - 0x100, %ax
	movw	%ax, %gs
	cmpw	$0xcafe, %gs:0x1500
	jne	failed
	movl	$0x1500, %ebx
	movw	$0xbeef, %gs:(%ebx)
	cmpw	$0xbeef, 0x500
	jne	failed
	movw	%ds, %ax
	movw	%ax, %es

	/* The stack is SS:SP. */
	step	14
	movw	%sp, %bp
	pushw	$0x4321
	check	%sp, (GUEST_STACK - GUEST_DATA - 18)
	cmpw	$0x4321, GUEST_STACK - GUEST_DATA - 18
	jne	failed
	popw	%ax
	check	%ax, 0x4321

	step	20
	movl	$0, %eax
	movl	$0, %ecx
	cpuid
	cmpl	%eax, DATA(GUEST_CPUID0)
	jne	failed
	cmpl	%ebx, DATA(GUEST_CPUID0) + 4
	jne	failed
	cmpl	%ecx, DATA(GUEST_CPUID0) + 8
	jne	failed
	cmpl	%edx, DATA(GUEST_CPUID0) + 12
	jne	failed

	step	21
	movl	$0x11223344, %eax
	inb	$PORT_TEST, %al
	check	%eax, 0x112233a1
	movl	$0x11223344, %eax
	inw	$PORT_TEST, %ax
	check	%eax, 0x1122b2a1
	inl	$PORT_TEST, %eax
	check	%eax, IN_DATA32
	movw	$PORT_TEST_DX, %dx
	movl	$0x11223344, %eax
	inb	%dx, %al
	check	%eax, 0x112233a1
	step	22
	movl	$0x04030201, %eax
	outb	%al, $PORT_TEST
	outw	%ax, $PORT_TEST
	outl	%eax, $PORT_TEST
	movl	$0x14131211, %eax
	outb	%al, %dx
	outw	%ax, %dx
	outl	%eax, %dx
	step	23
	cld
	movw	$DATA(GUEST_OUTS), %si
	movw	$GUEST_STRING_BYTES, %cx
	rep outsb
	check	%cx, 0
	check	%si, (DATA(GUEST_OUTS) + GUEST_STRING_BYTES)
	step	24
	movw	$PORT_TEST_DX + 1, %dx
	movw	$DATA(GUEST_INS), %di
	movw	$GUEST_STRING_BYTES, %cx
	rep insb
	check	%cx, 0
	check	%di, (DATA(GUEST_INS) + GUEST_STRING_BYTES)
	/* The offset wraps at 64 KiB, the upper half of the registers does not change. */
	step	25
	movl	$0x5555fffe, %edi
	movl	$0x66660004, %ecx
	rep insb
	check	%edi, 0x55550002
	check	%ecx, 0x66660000

	step	30
	smsw	%ax
	testw	$1, %ax
	jnz	failed
	movl	%cr0, %eax
	xorl	$2, %eax
	movl	%eax, %cr0
	movl	%cr0, %ebx
	cmpl	%eax, %ebx
	jne	failed

	step	40
	movw	$0x2468, %bx
	hlt
	check	%bx, 0x2468
	outb	%al, $PORT_DONE
failed:
	outb	%al, $PORT_FAIL
	hlt

far_procedure:
	movw	$0x7788, %dx
	lret

on_int21:
	incw	%ax
	iret

on_breakpoint:
	movw	$0x33, %bx
	iret

	/* Faults point at the instruction, two bytes long in both cases. */
on_undefined:
	movw	$0x66, %bx
	movw	%sp, %bp
	addw	$2, (%bp)
	iret

on_divide:
	movw	$0x99, %bx
	movw	%sp, %bp
	addw	$2, (%bp)
	iret
guest_real_end:

	.section .note.GNU-stack, "", @progbits
