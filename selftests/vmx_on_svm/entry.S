/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where each CPU enters the monitor, the world switch, and the monitor's interrupt handlers.  All of it runs with GIF=0,
 * except for the two windows below, on the monitor's own page tables, IDT and stacks.
 */
#include "layout.h"
#include "offsets.h"

	.text
	.code64

.macro FUNCTION name
	.globl	\name
	.balign	16
\name:
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

/* From start.S: EBP is the address of the start-up page, CR3 that of the area. */
	.section .text.first, "ax"
	.globl	cpu_start
cpu_start:
	movl	$1, %eax
	cpuid
	shrl	$24, %ebx			/* the APIC ID */
	cmpl	START_CPUS(%rbp), %ebx
	jae	.				/* the machine said that there is none like this */
	imulq	$CPU_STRIDE, %rbx, %rdi
	movq	%cr3, %rax
	leaq	AREA_CPUS(%rax, %rdi), %rdi	/* its Cpu */
	leaq	VOS_STACK_BYTES - 16(%rdi), %rsp
	lgdt	gdt_register(%rip)
	clgi
	movl	%ebx, %esi
	movl	%ebp, %edx
	pushq	%rdi
	pushq	%rdi
	call	vos_start_cpu
	popq	%rdi
	popq	%rdi
	lidt	VOS_MONITOR_IDTR+6(%rdi)
	jmp	.Lrun

	.data
	.balign	8
gdt:
	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdt_register:
	.word	. - gdt - 1
	.quad	gdt

	.text
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
	jmp	.Lrun

/*
 * void vos_open_nmi_window(void): GIF=1 and IF=0 for two instructions.  A pending NMI sets VOS_NMI_TAKEN, and NMIs
 * stay blocked.
 */
FUNCTION vos_open_nmi_window
	stgi
	nop
	nop
	clgi
	ret

/* void vos_open_interrupt_window(void): the same with IF=1; at most one vector goes to VOS_VECTOR_TAKEN. */
FUNCTION vos_open_interrupt_window
	stgi
	sti
	nop
	nop
	cli
	clgi
	ret

/* void vos_unblock_nmis(void): IRET to the next instruction; GIF=0 keeps a pending NMI away. */
FUNCTION vos_unblock_nmis
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
1:
	ret

/*
 * void vos_run_halted(unsigned long vmcb, int interrupts_wake): VMRUN, with RFLAGS.IF set if interrupts are to make it
 * exit.  The guest is vos_halt, which changes no register.
 */
FUNCTION vos_run_halted
	movq	%rdi, %rax
	testl	%esi, %esi
	jz	1f
	sti
	nop
1:	vmrun
	cli
	ret

FUNCTION vos_halt
	hlt
	vmmcall
	ud2

/* int vos_rdmsr_safe(unsigned int msr, unsigned long *value): 0, or 1 if RDMSR raised #GP. */
FUNCTION vos_rdmsr_safe
	movl	%edi, %ecx
	.globl	vos_rdmsr_instruction
vos_rdmsr_instruction:
	rdmsr
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rax, (%rsi)
	xorl	%eax, %eax
	ret

/* int vos_wrmsr_safe(unsigned int msr, unsigned long value): 0, or 1 if WRMSR raised #GP. */
FUNCTION vos_wrmsr_safe
	movl	%edi, %ecx
	movl	%esi, %eax
	movq	%rsi, %rdx
	shrq	$32, %rdx
	.globl	vos_wrmsr_instruction
vos_wrmsr_instruction:
	wrmsr
	xorl	%eax, %eax
	ret

.Lfailed:
	movl	$1, %eax
	ret

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
	ret

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
	leaq	0x10(%rsp), %rdi
	movq	%cr2, %rsi
	andq	$-16, %rsp
	call	vos_handle_monitor_fault
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
FUNCTION vos_handlers
	vector = 0
	.rept	256
	.balign	16
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

/* Instructions that a guest of the monitor's own executes; see monitor_guest.h. */
FUNCTION vos_read_cr4
	movq	%cr4, %rax
	vmmcall
	ud2

FUNCTION vos_write_dr7
	movq	%rax, %dr7
	vmmcall
	ud2

	.section .note.GNU-stack, "", @progbits
