/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A whole guest in one ROM of 64 KiB: turns VMX operation on and off, and says how it went on port 0xf4
 * (QEMU's isa-debug-exit) and on port 0xe9.  It is assembled at 0; the machine has it at 0xf0000 and below 4 GiB.
 */
.set BASE, 0xf0000
.set DIRECTORY, 0x10000		/* identity mapping, pages of 4 MiB */
.set VMXON_REGION, 0x20000

.set IA32_FEATURE_CONTROL, 0x3a	/* SDM volume 3, section "Enabling and Entering VMX Operation" */
.set IA32_VMX_BASIC, 0x480
.set IA32_VMX_CR0_FIXED0, 0x486
.set IA32_VMX_CR4_FIXED0, 0x488

.set WORKS, 'W'
.set NO_VMX, 'N'
.set DISABLED, 'D'
.set FAILED, 'F'

.macro SAY what
	movb $\what, %al
	jmp say
.endm

	.code16
start:
	cli
	lgdtl %cs:gdt_pointer
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $8, $(BASE + protected)

	.code32
protected:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $0x8000, %esp

	movl $1, %eax
	cpuid
	btl $5, %ecx
	jc 1f
	SAY NO_VMX
1:
	/* VMX operation needs paging. */
	movl $DIRECTORY, %edi
	movl $0x83, %eax
1:	stosl
	addl $0x400000, %eax
	cmpl $(DIRECTORY + 4096), %edi
	jne 1b
	movl $DIRECTORY, %eax
	movl %eax, %cr3
	movl $0x10, %eax
	movl %eax, %cr4
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0

	movl $IA32_FEATURE_CONTROL, %ecx
	rdmsr
	testb $1, %al
	jnz 1f
	orb $5, %al
	wrmsr
1:	testb $4, %al
	jnz 1f
	SAY DISABLED
1:
	movl $IA32_VMX_CR0_FIXED0, %ecx
	rdmsr
	movl %cr0, %ebx
	orl %ebx, %eax
	movl %eax, %cr0
	movl $IA32_VMX_CR4_FIXED0, %ecx
	rdmsr
	movl %cr4, %ebx
	orl %ebx, %eax
	movl %eax, %cr4

	movl $IA32_VMX_BASIC, %ecx
	rdmsr
	andl $0x7fffffff, %eax
	movl %eax, VMXON_REGION
	pushl $0
	pushl $VMXON_REGION
	vmxon (%esp)
	ja 1f
	SAY FAILED
1:	vmxoff
	SAY WORKS

say:
	outb %al, $0xe9
	movw $0xf4, %dx
	outb %al, %dx
1:	hlt
	jmp 1b

	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long BASE + gdt

	.org 0xfff0
	.code16
	/* The first instruction that the machine executes. */
	jmp start
	.org 0x10000
