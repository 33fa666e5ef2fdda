/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program without an operating system, loaded by QEMU's -kernel (Multiboot): takes the boot CPU, and each other CPU after its
 * SIPI, to 64-bit mode with all of the lower 4 GiB mapped to itself.
 */
#include "layout.h"

#define PAGE_SIZE_AND_RIGHTS	0x83		/* 2 MiB, present, writable */
#define IA32_EFER		0xc0000080

	.section .multiboot, "ax"
	.balign	4
header:
	.set	FLAGS, 0x10003			/* addresses below; memory information; aligned modules */
	.long	0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
	.long	header, load_begin, load_end, bss_end, start

	.code32
	.globl	start
start:
	cli
	movl	$boot_stack_end, %esp
	movl	%ebx, multiboot_info
	/* Page directories for 4 GiB. */
	movl	$page_directories, %edi
	movl	$PAGE_SIZE_AND_RIGHTS, %eax
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	cmpl	$page_directories_end, %edi
	jb	1b
	movl	$page_directories + 3, %eax
	movl	$page_directory_pointers, %edi
2:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	cmpl	$page_directories_end + 3, %eax
	jb	2b
	movl	$page_directory_pointers + 3, page_map
	xorl	%ebp, %ebp			/* the boot CPU's number */
	call	enter_long_mode
	.code64
	movl	multiboot_info(%rip), %edi
	call	run_tests
	hlt

/* From 32-bit mode to 64-bit mode; returns there.  The stack is the caller's. */
	.code32
enter_long_mode:
	movl	$0x20, %eax			/* PAE */
	movl	%eax, %cr4
	movl	$page_map, %eax
	movl	%eax, %cr3
	movl	$IA32_EFER, %ecx
	rdmsr
	orl	$0x100, %eax			/* LME */
	wrmsr
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax		/* CD and NW clear */
	orl	$0x80000021, %eax		/* PG, NE, PE */
	movl	%eax, %cr0
	popl	%edx				/* while the stack has entries of 4 bytes */
	lgdt	gdt_register
	ljmp	$CODE64, $1f
	.code64
1:	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%edx, %edx
	jmp	*%rdx

/* Copied to TRAMPOLINE: what a CPU executes after SIPI. */
	.code16
	.globl	trampoline, trampoline_end
trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	gdt_register_copy - trampoline
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$CODE32, $1f
	.balign	4
gdt_register_copy:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.code32
1:	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	/* Its number is its APIC ID. */
	movl	$1, %eax
	cpuid
	shrl	$24, %ebx
	movl	%ebx, %ebp
	leal	1(%ebx), %esp
	shll	$STACK_SHIFT, %esp
	addl	$cpu_stacks, %esp
	call	enter_long_mode
	.code64
	movl	%ebp, %edi
	call	run_other_cpu
	hlt

/* long enter_guest(void): VMLAUNCH.  0 after a VM-exit; 1 or 2 for VMfailInvalid and VMfailValid. */
	.globl	enter_guest
enter_guest:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movl	$0x6c14, %eax			/* host RSP */
	vmwrite	%rsp, %rax
	movl	$0x6c16, %eax			/* host RIP */
	leaq	1f(%rip), %rdx
	vmwrite	%rdx, %rax
	vmlaunch
	movl	$1, %eax
	jc	2f
	movl	$2, %eax
	jmp	2f
1:	xorl	%eax, %eax
2:	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

/* Guests: each ends in VMCALL or in an exit from outside. */
	.globl	guest_vmcall, guest_spin
guest_vmcall:
	vmcall
guest_spin:
	incl	guest_counter(%rip)
	pause
	jmp	guest_spin

/* Exceptions, 16 bytes each: the handler gets the frame, and may change RIP in it. */
	.balign	16
	.globl	exception_handlers
exception_handlers:
	vector = 0
	.rept	32
	.balign	16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	pushq	$0
	.endif
	pushq	$vector
	jmp	exception
	vector = vector + 1
	.endr
	.macro	SAVE
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	cld
	.endm
	.macro	RESTORE
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	.endm
exception:
	SAVE
	leaq	72(%rsp), %rdi
	call	handle_exception
	RESTORE
	addq	$16, %rsp
	iretq

	.globl	interrupt_handler
interrupt_handler:
	SAVE
	call	handle_interrupt
	RESTORE
	iretq

	.data
	.balign	16
	.globl	gdt, gdt_register, gdt_tss
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdt_tss:
	.quad	0, 0				/* filled by run_tests() */
gdt_end:
gdt_register:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.bss
	.balign	4096
page_map:
	.skip	4096
page_directory_pointers:
	.skip	4096
page_directories:
	.skip	4 * 4096
page_directories_end:
boot_stack:
	.skip	16384
boot_stack_end:
	.globl	cpu_stacks
cpu_stacks:
	.skip	CPU_LIMIT << STACK_SHIFT
multiboot_info:
	.long	0
	.globl	guest_counter
guest_counter:
	.long	0

	.section .note.GNU-stack, "", @progbits
