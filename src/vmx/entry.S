/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VM-entry and VM-exit.  Hardware switches RSP, RIP, RFLAGS and what the VMCS holds; this code switches the other
 * general-purpose registers and nothing else.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/alternative.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)
#include <linux/objtool.h>
#endif

/* Offsets in struct EntryFrame; static_asserts in entry.h keep them true. */
#define FRAME_GPR(number)	((number) * 8)
#define FRAME_HOST_RSP		256

/* VMCS encoding (SDM Vol. 3D, Appendix B) */
#define HOST_RSP_FIELD		0x6c14

	.section .noinstr.text, "ax"

/*
 * unsigned int vrc_vmx_enter(struct EntryFrame *frame, bool resume)
 *
 * Interrupts off.  0: the guest ran and left.  1: VMfailInvalid.  2: VMfailValid.  3: the instruction faulted.
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

	/* VM-exit loads RSP with what it is now; nearly always the VMCS has that value already. */
	cmp	%rsp, FRAME_HOST_RSP(%rdi)
	je	.Lhost_rsp_known
	mov	$HOST_RSP_FIELD, %eax
	vmwrite	%rsp, %rax
	jbe	.Lfail_host_rsp
	mov	%rsp, FRAME_HOST_RSP(%rdi)
.Lhost_rsp_known:

	/* MOV leaves this comparison's flags alone until the branch. */
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

	/* With the microcode of MDS and its kin, VERW empties the buffers that a guest could sample. */
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

	/* VM-exit comes here, with RSP as at VM-entry and RFLAGS clear. */
SYM_INNER_LABEL(vrc_vmx_exit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, FRAME_GPR(0)(%rdi)
	mov	%rcx, FRAME_GPR(1)(%rdi)
	mov	%rdx, FRAME_GPR(2)(%rdi)
	mov	%rbx, FRAME_GPR(3)(%rdi)
	mov	%rbp, FRAME_GPR(5)(%rdi)
	mov	%rsi, FRAME_GPR(6)(%rdi)
	popq	FRAME_GPR(7)(%rdi)
	mov	%r8, FRAME_GPR(8)(%rdi)
	mov	%r9, FRAME_GPR(9)(%rdi)
	mov	%r10, FRAME_GPR(10)(%rdi)
	mov	%r11, FRAME_GPR(11)(%rdi)
	mov	%r12, FRAME_GPR(12)(%rdi)
	mov	%r13, FRAME_GPR(13)(%rdi)
	mov	%r14, FRAME_GPR(14)(%rdi)
	mov	%r15, FRAME_GPR(15)(%rdi)

	xor	%eax, %eax
.Lout:
	/* Nothing of the guest stays in a register that speculation could use. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	/* The guest has filled the return stack buffer; no RET may come before it is overwritten. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lfail_host_rsp:
	mov	$3, %eax
	jmp	.Lout
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
