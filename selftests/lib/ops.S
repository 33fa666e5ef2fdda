/* SPDX-License-Identifier: GPL-2.0 */
#include "ops.h"

	.section .rodata
	.code64
	.globl guest_ops
	.globl guest_ops_end
guest_ops:

op_swap:
	movq	%rax, OPS_STORE + REGS_RAX
	movq	%rbx, OPS_STORE + REGS_RBX
	movq	%rcx, OPS_STORE + REGS_RCX
	movq	%rdx, OPS_STORE + REGS_RDX
	movq	%rsi, OPS_STORE + REGS_RSI
	movq	%rdi, OPS_STORE + REGS_RDI
	movq	%rsp, OPS_STORE + REGS_RSP
	movq	%rbp, OPS_STORE + REGS_RBP
	movq	%r8, OPS_STORE + REGS_R8
	movq	%r9, OPS_STORE + REGS_R9
	movq	%r10, OPS_STORE + REGS_R10
	movq	%r11, OPS_STORE + REGS_R11
	movq	%r12, OPS_STORE + REGS_R12
	movq	%r13, OPS_STORE + REGS_R13
	movq	%r14, OPS_STORE + REGS_R14
	movq	%r15, OPS_STORE + REGS_R15
	/* The flags are stored and loaded through the stack, which is put at their slots. */
	movq	$OPS_STORE + REGS_RFLAGS + 8, %rsp
	pushfq
	movq	$OPS_LOAD + REGS_RFLAGS, %rsp
	popfq
	movq	OPS_LOAD + REGS_RAX, %rax
	movq	OPS_LOAD + REGS_RBX, %rbx
	movq	OPS_LOAD + REGS_RCX, %rcx
	movq	OPS_LOAD + REGS_RDX, %rdx
	movq	OPS_LOAD + REGS_RSI, %rsi
	movq	OPS_LOAD + REGS_RDI, %rdi
	movq	OPS_LOAD + REGS_RSP, %rsp
	movq	OPS_LOAD + REGS_RBP, %rbp
	movq	OPS_LOAD + REGS_R8, %r8
	movq	OPS_LOAD + REGS_R9, %r9
	movq	OPS_LOAD + REGS_R10, %r10
	movq	OPS_LOAD + REGS_R11, %r11
	movq	OPS_LOAD + REGS_R12, %r12
	movq	OPS_LOAD + REGS_R13, %r13
	movq	OPS_LOAD + REGS_R14, %r14
	movq	OPS_LOAD + REGS_R15, %r15
	outb	%al, $PORT_TEST
op_swap_after:
	jmp	*OPS_NEXT

op_cpuid:
	/* MOV does not change the flags. */
	movl	$0, %eax
	movl	$0, %ecx
	cpuid
	outb	%al, $PORT_TEST
op_cpuid_after:
	jmp	*OPS_NEXT

op_in8:
	inb	$PORT_TEST, %al
op_in8_after:
	jmp	*OPS_NEXT

op_in16:
	inw	$PORT_TEST, %ax
op_in16_after:
	jmp	*OPS_NEXT

op_in32:
	inl	$PORT_TEST, %eax
op_in32_after:
	jmp	*OPS_NEXT

op_in32_dx:
	inl	%dx, %eax
op_in32_dx_after:
	jmp	*OPS_NEXT

op_out8:
	outb	%al, $PORT_TEST
op_out8_after:
	jmp	*OPS_NEXT

op_out16_dx:
	outw	%ax, %dx
op_out16_dx_after:
	jmp	*OPS_NEXT

op_out32:
	outl	%eax, $PORT_TEST
op_out32_after:
	jmp	*OPS_NEXT

op_hlt:
	hlt
op_hlt_after:
	jmp	*OPS_NEXT

op_segments:
	movw	%es, OPS_SELECTORS + 0
	movw	%cs, OPS_SELECTORS + 2
	movw	%ss, OPS_SELECTORS + 4
	movw	%ds, OPS_SELECTORS + 6
	movw	%fs, OPS_SELECTORS + 8
	movw	%gs, OPS_SELECTORS + 10
	sldt	OPS_SELECTORS + 12
	str	OPS_SELECTORS + 14
	sgdt	OPS_GDTR
	sidt	OPS_IDTR
	outb	%al, $PORT_TEST
op_segments_after:
	jmp	*OPS_NEXT

op_read_cr:
	movq	%cr0, %rax
	movq	%cr2, %rbx
	movq	%cr3, %rcx
	movq	%cr4, %rdx
	movq	%cr8, %rsi
	outb	%al, $PORT_TEST
op_read_cr_after:
	jmp	*OPS_NEXT

guest_ops_end:

	/* In the order of the OP_ numbers. */
	.balign 4
	.globl guest_ops_table
guest_ops_table:
	.irp	op, swap, cpuid, in8, in16, in32, in32_dx, out8, out16_dx, out32, hlt, segments, read_cr
	.long	op_\op - guest_ops
	.long	op_\op\()_after - guest_ops
	.endr

	.section .note.GNU-stack, "", @progbits
