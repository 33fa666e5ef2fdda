/* SPDX-License-Identifier: GPL-2.0 */
#include "raw_run.h"

#define SYS_ioctl	16
#define SYS_arch_prctl	158
#define ARCH_SET_FS	0x1002
#define KVM_RUN		0xae80

	.text
	.globl raw_run
	.type raw_run, @function
raw_run:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rsi

	movq	RAW_XSAVE_MASK(%rsi), %rax
	testq	%rax, %rax
	jz	1f
	xorl	%edx, %edx
	movq	RAW_XSAVE_IN(%rsi), %rcx
	xrstor64 (%rcx)
1:
	movq	RAW_SELECTOR(%rsi), %rax
	testq	%rax, %rax
	jz	1f
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
1:
	movq	RAW_IN + 0x00(%rsi), %rbx
	movq	RAW_IN + 0x08(%rsi), %rbp
	movq	RAW_IN + 0x10(%rsi), %r8
	movq	RAW_IN + 0x18(%rsi), %r9
	movq	RAW_IN + 0x20(%rsi), %r10
	movq	RAW_IN + 0x28(%rsi), %r12
	movq	RAW_IN + 0x30(%rsi), %r13
	movq	RAW_IN + 0x38(%rsi), %r14
	movq	RAW_IN + 0x40(%rsi), %r15
	pushq	RAW_FLAGS_IN(%rsi)
	popfq
	movl	$KVM_RUN, %esi
	movl	$0, %edx
	movl	$SYS_ioctl, %eax
	syscall
	/* Values kept here are on the stack: RSI is the caller's structure. */
	pushfq
	cld
	pushq	%rsi
	movq	16(%rsp), %rsi
	popq	RAW_RSI_OUT(%rsi)
	popq	RAW_FLAGS_OUT(%rsi)
	movq	%rdi, RAW_RDI_OUT(%rsi)
	movq	%rdx, RAW_RDX_OUT(%rsi)
	movq	%rbx, RAW_OUT + 0x00(%rsi)
	movq	%rbp, RAW_OUT + 0x08(%rsi)
	movq	%r8, RAW_OUT + 0x10(%rsi)
	movq	%r9, RAW_OUT + 0x18(%rsi)
	movq	%r10, RAW_OUT + 0x20(%rsi)
	movq	%r12, RAW_OUT + 0x28(%rsi)
	movq	%r13, RAW_OUT + 0x30(%rsi)
	movq	%r14, RAW_OUT + 0x38(%rsi)
	movq	%r15, RAW_OUT + 0x40(%rsi)
	movq	%rax, %r12

	movq	RAW_XSAVE_MASK(%rsi), %rax
	testq	%rax, %rax
	jz	1f
	xorl	%edx, %edx
	movq	RAW_XSAVE_OUT(%rsi), %rcx
	xsave64	(%rcx)
1:
	cmpq	$0, RAW_SELECTOR(%rsi)
	je	1f
	movq	%ds, %rax
	movq	%rax, RAW_DS_OUT(%rsi)
	movq	%es, %rax
	movq	%rax, RAW_ES_OUT(%rsi)
	movq	%fs, %rax
	movq	%rax, RAW_FS_OUT(%rsi)
	movq	%gs, %rax
	movq	%rax, RAW_GS_OUT(%rsi)
	movq	%fs:0, %rax
	movq	%rax, RAW_FS_WORD(%rsi)
	movq	%gs:0, %rax
	movq	%rax, RAW_GS_WORD(%rsi)
	/* C code needs its thread pointer. */
	movl	$0, %eax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movl	$ARCH_SET_FS, %edi
	movq	RAW_FS_BASE(%rsi), %rsi
	movl	$SYS_arch_prctl, %eax
	syscall
1:
	movq	%r12, %rax
	popq	%rsi
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size raw_run, . - raw_run

	.section .note.GNU-stack, "", @progbits
