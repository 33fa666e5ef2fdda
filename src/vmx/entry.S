/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VM-entry and VM-exit.  Hardware switches RSP, RIP, RFLAGS and the state in the VMCS; this code switches the other
 * general-purpose registers and nothing else.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/alternative.h>

/* Offsets in struct EntryFrame; entry.h checks them with static_assert. */
#define FRAME_GPR(number)	((number) * 8)
#define FRAME_HOST_RSP		256

	.section .noinstr.text, "ax"

/*
 * unsigned int vrc_vmx_enter(struct EntryFrame *frame, bool resume)
 *
 * Interrupts off.  0: the guest ran and exited.  1: VMfailInvalid.  2: VMfailValid.  3: the instruction faulted.
 */
SYM_FUNC_START(vrc_vmx_enter)
	push	%rbp
	mov	%rsp, %rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	/*
	 * VM-exit loads RSP with the frame's address, which never changes, and the stack pointer is loaded from there.
	 * The stack pointer itself in HOST_RSP would cost a VMWRITE whenever it changes: with randomize_kstack_offset,
	 * in nearly every system call.
	 */
	mov	%rsp, FRAME_HOST_RSP(%rdi)

	/* MOV preserves the flags for the branch below. */
	test	%sil, %sil

	mov	FRAME_GPR(0)(%rdi), %rax
	mov	FRAME_GPR(1)(%rdi), %rcx
	mov	FRAME_GPR(2)(%rdi), %rdx
	mov	FRAME_GPR(3)(%rdi), %rbx
	mov	FRAME_GPR(5)(%rdi), %rbp
	mov	FRAME_GPR(6)(%rdi), %rsi
	mov	FRAME_GPR(8)(%rdi), %r8
	mov	FRAME_GPR(9)(%rdi), %r9
	mov	FRAME_GPR(10)(%rdi), %r10
	mov	FRAME_GPR(11)(%rdi), %r11
	mov	FRAME_GPR(12)(%rdi), %r12
	mov	FRAME_GPR(13)(%rdi), %r13
	mov	FRAME_GPR(14)(%rdi), %r14
	mov	FRAME_GPR(15)(%rdi), %r15
	mov	FRAME_GPR(7)(%rdi), %rdi

	jnz	.Lresume

	/* With the microcode for MDS and similar bugs, VERW clears the buffers that a guest could sample. */
	ALTERNATIVE "jmp .Llaunch", "", X86_FEATURE_MD_CLEAR
	verw	.Lkernel_ds(%rip)
.Llaunch:
	vmlaunch
	jmp	.Lfail
.Lresume:
	ALTERNATIVE "jmp .Lresume_instruction", "", X86_FEATURE_MD_CLEAR
	verw	.Lkernel_ds(%rip)
.Lresume_instruction:
	vmresume
	jbe	.Lfail

	/*
	 * VM-exit jumps here, with RSP at the frame and RFLAGS clear.  Only NMI and #MC can arrive now, and they have
	 * their own stacks; the unwinder stops here, because it knows that the frame is not a stack.
	 */
SYM_INNER_LABEL(vrc_vmx_exit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	mov	%rax, FRAME_GPR(0)(%rsp)
	mov	%rcx, FRAME_GPR(1)(%rsp)
	mov	%rdx, FRAME_GPR(2)(%rsp)
	mov	%rbx, FRAME_GPR(3)(%rsp)
	mov	%rbp, FRAME_GPR(5)(%rsp)
	mov	%rsi, FRAME_GPR(6)(%rsp)
	mov	%rdi, FRAME_GPR(7)(%rsp)
	mov	%r8, FRAME_GPR(8)(%rsp)
	mov	%r9, FRAME_GPR(9)(%rsp)
	mov	%r10, FRAME_GPR(10)(%rsp)
	mov	%r11, FRAME_GPR(11)(%rsp)
	mov	%r12, FRAME_GPR(12)(%rsp)
	mov	%r13, FRAME_GPR(13)(%rsp)
	mov	%r14, FRAME_GPR(14)(%rsp)
	mov	%r15, FRAME_GPR(15)(%rsp)
	mov	FRAME_HOST_RSP(%rsp), %rsp

	xor	%eax, %eax
.Lout:
	/* No register may keep a guest value that speculation could use. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	/* The guest has filled the return stack buffer; it must be overwritten before any RET. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

	/* VMfail leaves the guest's values in the registers; they are still in the frame. */
.Lfail:
	mov	$1, %eax
	jc	.Lout
	mov	$2, %eax
	jnz	.Lfault
	jmp	.Lout
.Lfault:
	mov	$3, %eax
	jmp	.Lout

	_ASM_EXTABLE(.Llaunch, .Lfault)
	_ASM_EXTABLE(.Lresume_instruction, .Lfault)

	.balign	8
SYM_FUNC_END(vrc_vmx_enter)

	.section .rodata, "a"
	.balign	2
.Lkernel_ds:
	.word	__KERNEL_DS
