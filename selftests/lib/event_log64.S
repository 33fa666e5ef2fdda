/* SPDX-License-Identifier: GPL-2.0 */
#include "event_log.h"

	.section .rodata
	.code64
	.balign 16
	.globl guest_event_log64
	.globl guest_event_log64_end
	.globl guest_event_log64_nmi_iret
guest_event_log64:
	.set	vector, 0
	.rept	256
	.balign	EVENT_STUB_BYTES
	/* Bits set: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP push an error code. */
	.if	vector > 31 || !((0x00227d00 >> (vector & 31)) & 1)
	pushq	$0
	.endif
	pushq	$vector
	.byte	0xe9
	.long	common - . - 4
	.set	vector, vector + 1
	.endr

	.balign	16
common:
	/* The stack: RAX, RBX, vector, error code, RIP, CS, RFLAGS, RSP, SS. */
	pushq	%rbx
	pushq	%rax
	movl	EVENT_COUNT, %ebx
	andl	$EVENT_RECORD_LIMIT - 1, %ebx
	imull	$EVENT_RECORD_BYTES, %ebx, %ebx
	incq	EVENT_COUNT
	movq	16(%rsp), %rax
	movq	%rax, EVENT_RECORDS + 0x00(%rbx)
	movq	24(%rsp), %rax
	movq	%rax, EVENT_RECORDS + 0x08(%rbx)
	movq	32(%rsp), %rax
	movq	%rax, EVENT_RECORDS + 0x10(%rbx)
	movq	48(%rsp), %rax
	movq	%rax, EVENT_RECORDS + 0x18(%rbx)
	movq	%dr6, %rax
	movq	%rax, EVENT_RECORDS + 0x20(%rbx)
	/* The handler must clear DR6. */
	movl	$0xffff0ff0, %eax
	movq	%rax, %dr6
	movq	56(%rsp), %rax
	movq	%rax, EVENT_RECORDS + 0x28(%rbx)
	movq	16(%rsp), %rax
	cmpq	EVENT_STOP, %rax
	jne	1f
	outb	%al, $PORT_EVENT
1:
	cmpl	$2, %eax
	jne	2f
	movq	EVENT_NMI_FRAME, %rbx
	testq	%rbx, %rbx
	jz	2f
	/* Userspace copies the frame there, so that IRET is the guest's first access to the page. */
	movq	%rsp, %rax
	outb	%al, $PORT_EVENT
	popq	%rax
	movq	%rbx, %rsp
guest_event_log64_nmi_iret:
	iretq
2:
	popq	%rax
	popq	%rbx
	addq	$16, %rsp
	iretq
guest_event_log64_end:

	.section .note.GNU-stack, "", @progbits
