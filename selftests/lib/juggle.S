/* SPDX-License-Identifier: GPL-2.0 */
#include "juggle.h"

/* All general-purpose registers but RSP, in the order of struct kvm_regs. */
.macro for_each_gpr operation, base
	\operation	%rax, \base + 0x00
	\operation	%rbx, \base + 0x08
	\operation	%rcx, \base + 0x10
	\operation	%rdx, \base + 0x18
	\operation	%rsi, \base + 0x20
	\operation	%rdi, \base + 0x28
	\operation	%rbp, \base + 0x38
	\operation	%r8, \base + 0x40
	\operation	%r9, \base + 0x48
	\operation	%r10, \base + 0x50
	\operation	%r11, \base + 0x58
	\operation	%r12, \base + 0x60
	\operation	%r13, \base + 0x68
	\operation	%r14, \base + 0x70
	\operation	%r15, \base + 0x78
.endm

.macro store register, address
	movq	\register, \address
.endm

.macro load register, address
	movq	\address, \register
.endm

#define RSP(base)	(base + 0x30)
#define FLAGS(base)	(base + 0x80)

.macro load_flags_and_rsp
	movq	$FLAGS(JUGGLE_LOAD), %rsp
	popfq
	movq	RSP(JUGGLE_LOAD), %rsp
.endm

.macro to_system index, register
	movq	JUGGLE_SYSTEM + 8 * \index, %rax
	movq	%rax, \register
.endm

.macro from_system index, register
	movq	\register, %rax
	movq	%rax, JUGGLE_SYSTEM_FOUND + 8 * \index
.endm

	.section .rodata
	.code64
	.globl guest_juggle
	.globl guest_juggle_end
	.balign 16
guest_juggle:
turn:
	to_system 0, %cr0
	to_system 2, %cr3
	to_system 3, %cr4
	to_system 4, %cr8
	lgdt	JUGGLE_GDTR
	lidt	JUGGLE_IDTR
	movw	JUGGLE_SELECTORS + 0, %es
	movw	JUGGLE_SELECTORS + 2, %ds
	movw	JUGGLE_SELECTORS + 4, %fs
	movw	JUGGLE_SELECTORS + 6, %gs
	xorl	%ebx, %ebx
1:	movl	JUGGLE_MSRS + 0(%rbx), %ecx
	movl	JUGGLE_MSRS + 8(%rbx), %eax
	movl	JUGGLE_MSRS + 12(%rbx), %edx
	wrmsr
	addl	$16, %ebx
	cmpl	$16 * JUGGLE_MSR_COUNT, %ebx
	jb	1b
	to_system 5, %dr0
	to_system 6, %dr1
	to_system 7, %dr2
	to_system 8, %dr3
	to_system 9, %dr7
	xorl	%edx, %edx
	movl	JUGGLE_XMASK, %eax
	testl	%eax, %eax
	jz	1f
	xrstor64 JUGGLE_XSAVE_IN
	jmp	2f
1:	fxrstor64 JUGGLE_XSAVE_IN
2:	to_system 1, %cr2

	/* Keeps all registers in the CPU for a while, through exits that do not change them. */
	for_each_gpr load, JUGGLE_LOAD
1:	decq	JUGGLE_SPINS
	jnz	1b
	load_flags_and_rsp
	invd
	movq	%rax, JUGGLE_FRESH_PAGE
	invd
	for_each_gpr store, JUGGLE_STORE
	movq	%rsp, RSP(JUGGLE_STORE)
	/* The flags are stored by a push: the stack is put just above their slot. */
	movq	$FLAGS(JUGGLE_STORE) + 8, %rsp
	pushfq

	xorl	%ebx, %ebx
1:	movq	JUGGLE_LOAD(%rbx), %rax
	cmpq	JUGGLE_STORE(%rbx), %rax
	jne	fail
	addl	$8, %ebx
	cmpl	$8 * (JUGGLE_GPRS + 1), %ebx
	jb	1b

	xorl	%eax, %eax
	cpuid
	movl	%eax, JUGGLE_CPUID_FOUND + 0
	movl	%ebx, JUGGLE_CPUID_FOUND + 4
	movl	%ecx, JUGGLE_CPUID_FOUND + 8
	movl	%edx, JUGGLE_CPUID_FOUND + 12
	cmpl	$0, JUGGLE_HAS_RDTSCP
	je	1f
	rdtscp
	movl	%ecx, JUGGLE_AUX_USED
1:	swapgs
	movl	$0xc0000101, %ecx
	rdmsr
	movl	%eax, JUGGLE_BASE_USED
	movl	%edx, JUGGLE_BASE_USED + 4
	swapgs
	syscall
landed:
	movq	%rax, JUGGLE_PAD_USED
	movq	%r11, JUGGLE_SYSCALL_FLAGS
	movq	$JUGGLE_FLAGS_MASKED + 8, %rsp
	pushfq
	sti

	from_system 0, %cr0
	from_system 1, %cr2
	from_system 2, %cr3
	from_system 3, %cr4
	from_system 4, %cr8
	from_system 5, %dr0
	from_system 6, %dr1
	from_system 7, %dr2
	from_system 8, %dr3
	from_system 9, %dr7
	movw	%es, JUGGLE_SELECTORS_FOUND + 0
	movw	%ds, JUGGLE_SELECTORS_FOUND + 2
	movw	%fs, JUGGLE_SELECTORS_FOUND + 4
	movw	%gs, JUGGLE_SELECTORS_FOUND + 6
	sgdt	JUGGLE_GDTR_FOUND
	sidt	JUGGLE_IDTR_FOUND
	xorl	%ebx, %ebx
	xorl	%esi, %esi
1:	movl	JUGGLE_MSRS(%rbx), %ecx
	rdmsr
	movl	%eax, JUGGLE_MSRS_FOUND + 0(%rsi)
	movl	%edx, JUGGLE_MSRS_FOUND + 4(%rsi)
	addl	$16, %ebx
	addl	$8, %esi
	cmpl	$16 * JUGGLE_MSR_COUNT, %ebx
	jb	1b
	xorl	%edx, %edx
	movl	JUGGLE_XMASK, %eax
	testl	%eax, %eax
	jz	1f
	xsave64	JUGGLE_XSAVE_OUT
	jmp	2f
1:	fxsave64 JUGGLE_XSAVE_OUT
2:
	for_each_gpr load, JUGGLE_LOAD
	load_flags_and_rsp
	jmp	*JUGGLE_NEXT

exit_out:
	outb	%al, $PORT_TEST
exit_out_after:
	jmp	turn
exit_in:
	inl	$PORT_TEST, %eax
exit_in_after:
	jmp	turn
exit_hlt:
	hlt
exit_hlt_after:
	jmp	turn
exit_no_memory:
	movq	%rax, JUGGLE_NO_PAGE
	jmp	turn
fail:
	movl	%ebx, JUGGLE_WRONG
	outb	%al, $PORT_FAIL
	hlt

	.balign JUGGLE_PAD_BYTES
pads:
	.set	pad, 0
	.rept	JUGGLE_PADS
	.balign JUGGLE_PAD_BYTES
	movl	$pad, %eax
	jmp	landed
	.set	pad, pad + 1
	.endr
guest_juggle_end:

	.balign 4
	.globl juggle_exits
juggle_exits:
	.long	exit_out - guest_juggle, exit_out - guest_juggle
	.long	exit_in - guest_juggle, exit_in - guest_juggle
	.long	exit_hlt - guest_juggle, exit_hlt_after - guest_juggle
	.long	exit_no_memory - guest_juggle, exit_no_memory - guest_juggle
	.globl juggle_pads_offset
juggle_pads_offset:
	.long	pads - guest_juggle

	.section .note.GNU-stack, "", @progbits
