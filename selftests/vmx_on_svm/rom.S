/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The option ROM.  The BIOS calls it during POST.  It takes memory, copies the monitor there, and has the monitor continue
 * the BIOS as a guest.  What stays of it is the start-up page (start.S) and the hook of INT 15h, which reserves the memory
 * in the map that operating systems get.
 */
#include "layout.h"

#define FW_CFG_SELECTOR		0x510
#define FW_CFG_DATA		0x511
#define FW_CFG_SIGNATURE	0x00
#define FW_CFG_MAX_CPUS		0x0f	/* one more than the greatest APIC ID */

	.code16
	.text
	.globl	_start
_start:
	.byte	0x55, 0xaa
	.byte	0			/* size, by make_rom.py */
	jmp	initialize
	.org	0x18
	.word	0
	.word	pnp
/* A Plug and Play header: without it SeaBIOS calls a ROM only when it boots from it. */
pnp:	.ascii	"$PnP"
	.byte	1, 2
	.word	0
	.byte	0, 0
	.long	0
	.word	0, name
	.byte	0, 0, 0, 0
	.word	0, 0, 0, 0, 0
name:	.asciz	"vregcache VMX ROM"

bios_int15:
	.long	0

/* Selects item AX of fw_cfg. */
.macro FW_CFG_SELECT item
	movw	$\item, %ax
	movw	$FW_CFG_SELECTOR, %dx
	outw	%ax, %dx
	movw	$FW_CFG_DATA, %dx
.endm

initialize:
	pushfl
	cli
	cld
	pushal
	pushw	%ds
	pushw	%es
	pushw	%fs
	pushw	%gs
	movw	%cs, %ax
	movw	%ax, %ds
	movl	%cr0, %eax
	testb	$1, %al
	jnz	leave

	/* The CPU: SVM with nested paging, and pages of 1 GiB. */
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x8000000a, %eax
	jb	refuse_cpu
	movl	$0x80000001, %eax
	cpuid
	testb	$4, %cl
	jz	refuse_cpu
	btl	$26, %edx
	jnc	refuse_cpu
	movl	$0x8000000a, %eax
	cpuid
	testb	$1, %dl
	jz	refuse_cpu

	/* The number of CPUs, and the memory that they need. */
	FW_CFG_SELECT FW_CFG_SIGNATURE
	inb	%dx, %al
	cmpb	$'Q', %al
	jne	refuse_machine
	inb	%dx, %al
	cmpb	$'E', %al
	jne	refuse_machine
	FW_CFG_SELECT FW_CFG_MAX_CPUS
	xorl	%eax, %eax
	inb	%dx, %al
	movb	%al, %cl
	inb	%dx, %al
	shll	$8, %eax
	movb	%cl, %al
	movl	%eax, %esi			/* CPUs */
	movl	$CPU_STRIDE, %ecx
	mull	%ecx
	addl	$AREA_CPUS, %eax
	movl	$AREA_LEAST_BYTES, %edi		/* bytes */
1:	cmpl	%eax, %edi
	jae	2f
	shll	$1, %edi
	jmp	1b
2:

	/*
	 * The POST Memory Manager, for memory below 4 GiB ("extended") that is aligned to its size.  It is the BIOS's again when
	 * that boots: see int15.
	 */
	movw	$0xe000, %ax
1:	movw	%ax, %es
	cmpl	$0x4d4d5024, %es:0		/* $PMM */
	je	2f
	incw	%ax
	jnz	1b
	jmp	refuse_memory
2:	movl	%edi, %eax
	shrl	$4, %eax
	pushl	%esi
	pushl	%edi
	pushw	$6
	pushl	$0xffffffff
	pushl	%eax
	pushw	$0
	lcallw	*%es:7
	addw	$12, %sp
	popl	%edi
	popl	%esi
	shll	$16, %edx
	movw	%ax, %dx
	movl	%edx, %ebx			/* the area */
	testl	%ebx, %ebx
	jz	refuse_memory

	/* The start-up page: the first aligned one in its space. */
	movl	%edi, %ecx
	movw	%cs, %ax
	addw	$(ROM_SPACE + 0xfff) / 16, %ax
	andw	$0xff00, %ax
	movw	%ax, %es
	movl	%esi, %ebp
	xorw	%di, %di
	movw	$start, %si
	pushl	%ecx
	movw	$start_end - start, %cx
	rep movsb
	popl	%ecx
	movl	%ebx, %es:START_CR3
	movl	%ecx, %es:START_AREA_BYTES
	movl	%ebp, %es:START_CPUS
	movl	$1, %es:START_FIRST
	movl	%esp, %es:START_RESUME_ESP
	movw	%ss, %es:START_RESUME_SS
	movw	%cs, %es:START_RESUME_CS
	movw	$leave, %es:START_RESUME_IP
	movw	%cs, %es:START_ROM_SEGMENT
	movl	%cr0, %eax
	movl	%eax, %es:START_CR0
	movl	%cr4, %eax
	movl	%eax, %es:START_CR4
	sidtl	%es:START_IDTR
	sgdtl	%es:START_GDTR
	movw	$hook_e820, %es:START_HOOK_E820
	movw	$hook_e801, %es:START_HOOK_E801
	xorl	%eax, %eax
	movw	%es, %ax
	shll	$4, %eax
	movl	%eax, %ebp			/* the start-up page */
	leal	start_gdt - start(%eax), %edx
	movl	%edx, %es:start_gdtr - start + 2
	leal	start32 - start(%eax), %edx
	movl	%edx, %es:start_far32 - start
	leal	start64 - start(%eax), %edx
	movl	%edx, %es:start_far64 - start

	/* INT 15h */
	xorw	%ax, %ax
	movw	%ax, %fs
	movl	%fs:0x15 * 4, %eax
	movl	%eax, bios_int15
	movw	$int15, %fs:0x15 * 4
	movw	%cs, %fs:0x15 * 4 + 2

	/* To flat memory; the stack segment is the old one for this jump. */
	xorl	%edx, %edx
	movw	%cs, %dx
	shll	$4, %edx			/* the ROM */
	leal	flat(%edx), %eax
	pushl	$SELECTOR_CODE32
	pushl	%eax
	lgdtl	%es:start_gdtr - start
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	lretl

refuse_cpu:
	movw	$no_cpu, %si
	jmp	refuse
refuse_machine:
	movw	$no_machine, %si
	jmp	refuse
refuse_memory:
	movw	$no_memory, %si
refuse:	/* By the BIOS's teletype output, so that it is seen where the BIOS is. */
	lodsb
	testb	%al, %al
	jz	leave
	movb	$0x0e, %ah
	xorw	%bx, %bx
	int	$0x10
	jmp	refuse
no_cpu:
	.asciz	"VMX ROM: no VMX: this CPU lacks SVM, nested paging or pages of 1 GiB (use -cpu max)\r\n"
no_machine:
	.asciz	"VMX ROM: no VMX: this machine is not QEMU's\r\n"
no_memory:
	.asciz	"VMX ROM: no VMX: the BIOS has no memory for it (use -m 128 or more)\r\n"

/* The boot CPU goes on here: as a guest of the monitor, or without it. */
leave:
	popw	%gs
	popw	%fs
	popw	%es
	popw	%ds
	popal
	popfl
	lretw

/*
 * E820: the monitor marks its area in the BIOS's map.  That makes more entries; the top byte of the continuation value is the
 * monitor's.  E801: memory ends where the area begins.
 */
int15:
	cmpw	$0xe820, %ax
	je	1f
	cmpw	$0xe801, %ax
	je	2f
	ljmpw	*%cs:bios_int15
1:	pushl	%ebp
	movl	%ebx, %ebp
	andl	$0x00ffffff, %ebx
	pushfw
	lcallw	*%cs:bios_int15
	jc	3f
hook_e820:
	vmmcall
	clc
3:	popl	%ebp
	jmp	4f
2:	pushfw
	lcallw	*%cs:bios_int15
	jc	4f
hook_e801:
	vmmcall
	clc
	/* The carry flag goes to the caller's flags. */
4:	pushw	%bp
	movw	%sp, %bp
	jc	5f
	andb	$0xfe, 6(%bp)
	jmp	6f
5:	orb	$1, 6(%bp)
6:	popw	%bp
	iretw

	.code32
/* EBX: the area, ECX: its size, EDX: the ROM, EBP: the start-up page. */
flat:
	movw	$SELECTOR_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	pushl	%ecx
	movl	%ebx, %edi
	xorl	%eax, %eax
	shrl	$2, %ecx
	rep stosl
	leal	AREA_IMAGE(%ebx), %edi
	leal	ROM_PAYLOAD(%edx), %esi
	movl	$(payload_end - payload + 3) / 4, %ecx
	rep movsl

	leal	AREA_PDPT + 7(%ebx), %eax
	movl	%eax, AREA_PAGE_TABLES(%ebx)
	addl	$0x1000, %eax
	movl	%eax, AREA_PAGE_TABLES + 8(%ebx)
	leal	AREA_HIGH_PDPT + 7(%ebx), %eax
	movl	%eax, AREA_PAGE_TABLES + 0xff8(%ebx)
	leal	AREA_HIGH_DIRECTORY + 7(%ebx), %eax
	movl	%eax, AREA_HIGH_PDPT + 0xff8(%ebx)
	/* 1 TiB by pages of 1 GiB */
	leal	AREA_PDPT(%ebx), %edi
	movl	$0x83, %eax
	xorl	%edx, %edx
	movl	$1024, %ecx
1:	movl	%eax, (%edi)
	movl	%edx, 4(%edi)
	addl	$0x40000000, %eax
	adcl	$0, %edx
	addl	$8, %edi
	loop	1b
	/* the area by pages of 2 MiB */
	popl	%ecx
	shrl	$21, %ecx
	leal	AREA_HIGH_DIRECTORY(%ebx), %edi
	leal	0x83(%ebx), %eax
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	1b
	leal	start32 - start(%ebp), %eax
	jmp	*%eax

#include "start.S"

	.org	ROM_SPACE			/* the code above must end before it */
	.org	ROM_PAYLOAD
payload:
	.incbin	"monitor.bin"
payload_end:
	.section .note.GNU-stack, "", @progbits
