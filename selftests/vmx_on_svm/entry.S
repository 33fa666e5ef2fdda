/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The world switch, and the interrupt handlers of the stub.  All of it runs with GIF=0, but for the two
 * windows below, on the stub's own page-table root, IDT and stack.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <linux/version.h>
#include <asm/unwind_hints.h>
#include "offsets.h"

	.text
	.code64

#ifdef ENDBR
#define VOS_ENDBR ENDBR
#else
#define VOS_ENDBR
#endif

/* There is no stack frame that could be described: each place that objtool cannot reach by itself says so. */
.macro NO_FRAME
	ANNOTATE_NOENDBR
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	UNWIND_HINT_END_OF_STACK
#else
	UNWIND_HINT_EMPTY
#endif
.endm

/* The Cpu begins with the stack. */
.macro GET_CPU reg
	movq	%rsp, \reg
	andq	$-VOS_STACK_BYTES, \reg
.endm

.macro LOAD_REGISTERS base
	movq	VOS_REGISTERS+0x08(\base), %rcx
	movq	VOS_REGISTERS+0x10(\base), %rdx
	movq	VOS_REGISTERS+0x18(\base), %rbx
	movq	VOS_REGISTERS+0x28(\base), %rbp
	movq	VOS_REGISTERS+0x30(\base), %rsi
	movq	VOS_REGISTERS+0x38(\base), %rdi
	movq	VOS_REGISTERS+0x40(\base), %r8
	movq	VOS_REGISTERS+0x48(\base), %r9
	movq	VOS_REGISTERS+0x50(\base), %r10
	movq	VOS_REGISTERS+0x58(\base), %r11
	movq	VOS_REGISTERS+0x60(\base), %r12
	movq	VOS_REGISTERS+0x68(\base), %r13
	movq	VOS_REGISTERS+0x70(\base), %r14
	movq	VOS_REGISTERS+0x78(\base), %r15
.endm

/*
 * void vos_enter(struct vos_cpu *cpu, void *stack_top)
 * Called with interrupts disabled.  Returns in SVM guest mode; what it was called from is from then on the guest.
 */
SYM_CODE_START(vos_enter)
	NO_FRAME
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	VOS_LINUX_VMCB(%rdi), %rax
	movq	%rsp, VOS_VMCB_RSP(%rax)
	leaq	.Lguest(%rip), %rdx
	movq	%rdx, VOS_VMCB_RIP(%rax)
	pushfq
	popq	%rdx
	movq	%rdx, VOS_VMCB_RFLAGS(%rax)
	clgi
	movq	VOS_STUB_CR3(%rdi), %rax
	movq	%rax, %cr3
	movq	%rsi, %rsp
	lidt	VOS_STUB_IDTR+6(%rdi)
	jmp	.Lrun

.Lguest:
	NO_FRAME
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	RET

.Lrun:
	GET_CPU	%rax
	/* With V_INTR_MASKING a pending interrupt makes the guest exit only if RFLAGS.IF was set at VMRUN. */
	cli
	cmpq	$0, VOS_INTERRUPTS_OPEN(%rax)
	je	1f
	sti
	nop
1:	LOAD_REGISTERS %rax
	movq	VOS_RUN_VMCB(%rax), %rax
	vmrun
	GET_CPU	%rax
	movq	%rcx, VOS_REGISTERS+0x08(%rax)
	movq	%rdx, VOS_REGISTERS+0x10(%rax)
	movq	%rbx, VOS_REGISTERS+0x18(%rax)
	movq	%rbp, VOS_REGISTERS+0x28(%rax)
	movq	%rsi, VOS_REGISTERS+0x30(%rax)
	movq	%rdi, VOS_REGISTERS+0x38(%rax)
	movq	%r8,  VOS_REGISTERS+0x40(%rax)
	movq	%r9,  VOS_REGISTERS+0x48(%rax)
	movq	%r10, VOS_REGISTERS+0x50(%rax)
	movq	%r11, VOS_REGISTERS+0x58(%rax)
	movq	%r12, VOS_REGISTERS+0x60(%rax)
	movq	%r13, VOS_REGISTERS+0x68(%rax)
	movq	%r14, VOS_REGISTERS+0x70(%rax)
	movq	%r15, VOS_REGISTERS+0x78(%rax)
	cli
	cld
	movq	%rax, %rdi
	call	vos_handle_exit
	testl	%eax, %eax
	jz	.Lrun

	/* Leave: become what was the guest. */
	GET_CPU	%rax
	pushq	VOS_LEAVE_SS(%rax)
	pushq	VOS_LEAVE_RSP(%rax)
	pushq	VOS_LEAVE_RFLAGS(%rax)
	pushq	VOS_LEAVE_CS(%rax)
	pushq	VOS_LEAVE_RIP(%rax)
	lidt	VOS_LEAVE_IDTR+6(%rax)
	movq	VOS_LEAVE_CR3(%rax), %rcx
	movq	%rcx, %cr3
	LOAD_REGISTERS %rax
	xorl	%eax, %eax
	stgi
	iretq
SYM_CODE_END(vos_enter)

/*
 * void vos_open_nmi_window(void): GIF=1 and IF=0 for two instructions.  A pending NMI sets VOS_NMI_TAKEN, and NMIs
 * stay blocked.
 */
SYM_CODE_START(vos_open_nmi_window)
	NO_FRAME
	stgi
	nop
	nop
	clgi
	RET
SYM_CODE_END(vos_open_nmi_window)

/* void vos_open_interrupt_window(void): the same with IF=1; at most one vector goes to VOS_VECTOR_TAKEN. */
SYM_CODE_START(vos_open_interrupt_window)
	NO_FRAME
	stgi
	sti
	nop
	nop
	cli
	clgi
	RET
SYM_CODE_END(vos_open_interrupt_window)

/* void vos_unblock_nmis(void): IRET to the next instruction; GIF=0 keeps a pending NMI away. */
SYM_CODE_START(vos_unblock_nmis)
	NO_FRAME
	movq	%rsp, %rax
	movl	%ss, %ecx
	pushq	%rcx
	pushq	%rax
	pushfq
	movl	%cs, %ecx
	pushq	%rcx
	leaq	1f(%rip), %rax
	pushq	%rax
	iretq
1:	NO_FRAME
	RET
SYM_CODE_END(vos_unblock_nmis)

/*
 * void vos_run_halted(unsigned long vmcb, int interrupts_wake): VMRUN, with RFLAGS.IF set if interrupts are to make it
 * exit.  The guest is vos_halt, which changes no register.
 */
SYM_CODE_START(vos_run_halted)
	NO_FRAME
	movq	%rdi, %rax
	testl	%esi, %esi
	jz	1f
	sti
	nop
1:	vmrun
	cli
	RET
SYM_CODE_END(vos_run_halted)

SYM_CODE_START(vos_halt)
	NO_FRAME
	hlt
	vmmcall
	ud2
SYM_CODE_END(vos_halt)

/* int vos_rdmsr_safe(unsigned int msr, unsigned long *value): 0, or 1 if RDMSR raised #GP. */
SYM_CODE_START(vos_rdmsr_safe)
	NO_FRAME
	movl	%edi, %ecx
SYM_INNER_LABEL(vos_rdmsr_instruction, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	rdmsr
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rax, (%rsi)
	xorl	%eax, %eax
	RET
SYM_CODE_END(vos_rdmsr_safe)

/* int vos_wrmsr_safe(unsigned int msr, unsigned long value): 0, or 1 if WRMSR raised #GP. */
SYM_CODE_START(vos_wrmsr_safe)
	NO_FRAME
	movl	%edi, %ecx
	movl	%esi, %eax
	movq	%rsi, %rdx
	shrq	$32, %rdx
SYM_INNER_LABEL(vos_wrmsr_instruction, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	wrmsr
	xorl	%eax, %eax
	RET
SYM_CODE_END(vos_wrmsr_safe)

/* int vos_probe_address(const void *address): 0, or 1 if a read faults. */
SYM_CODE_START(vos_probe_address)
	NO_FRAME
SYM_INNER_LABEL(vos_probe_instruction, SYM_L_GLOBAL)
	movb	(%rdi), %al
	xorl	%eax, %eax
	RET
SYM_CODE_END(vos_probe_address)

.Lfailed:
	NO_FRAME
	movl	$1, %eax
	RET

/*
 * Returns from an interrupt without IRET, which would unblock NMIs.  The stack holds RCX and RAX above the interrupt
 * frame.  Flags are not restored, and IF stays clear: the windows above rely on neither.
 */
.Lreturn_without_iret:
	movq	0x28(%rsp), %rcx		/* interrupted RSP */
	movq	0x10(%rsp), %rax		/* interrupted RIP */
	movq	%rax, -8(%rcx)
	leaq	-8(%rcx), %rax
	movq	%rax, 0x10(%rsp)
	popq	%rcx
	popq	%rax
	popq	%rsp
	RET

.Lnmi:
	addq	$8, %rsp			/* the vector */
	pushq	%rax
	pushq	%rcx
	GET_CPU	%rax
	movq	$1, VOS_NMI_TAKEN(%rax)
	jmp	.Lreturn_without_iret

.Linterrupt:
	pushq	%rax
	pushq	%rcx
	GET_CPU	%rax
	movq	0x10(%rsp), %rcx
	movq	%rcx, VOS_VECTOR_TAKEN(%rax)
	popq	%rcx
	popq	%rax
	addq	$8, %rsp
	pushq	%rax
	pushq	%rcx
	jmp	.Lreturn_without_iret

/* The stack holds the vector, the error code if there is one, and the interrupt frame. */
.Lfault:
	pushq	%rax
	pushq	%rcx
	movq	0x20(%rsp), %rcx		/* RIP, if there is an error code */
	leaq	vos_rdmsr_instruction(%rip), %rax
	cmpq	%rax, %rcx
	je	1f
	leaq	vos_wrmsr_instruction(%rip), %rax
	cmpq	%rax, %rcx
	je	1f
	leaq	vos_probe_instruction(%rip), %rax
	cmpq	%rax, %rcx
	je	1f
	leaq	0x10(%rsp), %rdi
	movq	%cr2, %rsi
	andq	$-16, %rsp
	call	vos_handle_stub_fault
	ud2

1:	leaq	.Lfailed(%rip), %rax
	movq	%rax, 0x20(%rsp)
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	pushq	%rax
	pushq	%rcx
	jmp	.Lreturn_without_iret

/* 256 handlers, 16 bytes each. */
	.balign	16
SYM_CODE_START_NOALIGN(vos_handlers)
	vector = 0
	.rept	256
	.balign	16
	NO_FRAME
	VOS_ENDBR
	pushq	$vector
	.if vector == 2
	jmp	.Lnmi
	.elseif vector < 32
	jmp	.Lfault
	.else
	jmp	.Linterrupt
	.endif
	vector = vector + 1
	.endr
SYM_CODE_END(vos_handlers)

/* Two instructions that the stub has Linux execute; see linux_debug_registers.h. */
SYM_CODE_START(vos_write_dr7)
	NO_FRAME
	movq	%rax, %dr7
	vmmcall
	ud2
SYM_CODE_END(vos_write_dr7)

	.section .note.GNU-stack, "", @progbits
