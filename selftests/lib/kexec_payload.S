/* SPDX-License-Identifier: GPL-2.0 */
#include "kexec_payload.h"

#define AT(symbol) (KEXEC_PAYLOAD_BASE + (symbol) - kexec_payload)
#define STACK_TOP (KEXEC_PAYLOAD_BASE + KEXEC_PAYLOAD_BYTES - 0x20)

#define MSR_APIC_BASE	0x1b
#define MSR_EFER	0xc0000080
#define MSR_X2APIC_SVR	0x80f
#define MSR_X2APIC_ICR	0x830
#define APIC		0xfee00000
#define SVR_ENABLED	0x1ff
/* To all CPUs but this one. */
#define ICR_INIT	0x000c4500
#define ICR_STARTUP	(0x000c4600 | AP_PAGE >> 12)
#define AP_PAGE		(KEXEC_PAYLOAD_BASE + 0x1000)

#define SERIAL		0x3f8
#define SLEEP_ENABLE	0x2000

	.section .rodata
	.balign 4096
	.globl kexec_payload
	.code64
kexec_payload:
	cli
	movl	$STACK_TOP, %esp
	lgdt	AT(gdtr)
	pushq	$0x08
	pushq	$AT(protected)
	lretq

	.code32
protected:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	movl	$MSR_EFER, %ecx
	rdmsr
	andl	$~0x100, %eax
	wrmsr
	/* The kernel's last line may still be in transmission. */
	movl	$20000, %ecx
	call	wait_a_while

	movl	$ICR_INIT, %eax
	call	send_ipi
	movl	$20000, %ecx
	call	wait_a_while
	movl	$ICR_STARTUP, %eax
	call	send_ipi
	movl	$2000000, %ecx
1:
	pause
	inb	$0x80, %al
	movl	AT(started), %eax
	cmpl	KEXEC_PAYLOAD_BASE + KEXEC_OTHER_CPUS, %eax
	jae	2f
	loop	1b
2:
	movl	$AT(text_passed), %esi
	movl	AT(started), %eax
	cmpl	KEXEC_PAYLOAD_BASE + KEXEC_OTHER_CPUS, %eax
	je	3f
	movl	$AT(text_failed), %esi
3:
	call	print
	movl	$AT(text_end), %esi
	call	print
	movl	$200000, %ecx
	call	wait_a_while
	movl	KEXEC_PAYLOAD_BASE + KEXEC_PM1A_CONTROL, %edx
	movl	$SLEEP_ENABLE, %eax
	outw	%ax, %dx
	movl	$200000, %ecx
	call	wait_a_while
	/* If the power stays on, a triple fault resets the machine. */
	lidt	AT(no_idt)
	int3

/*
 * ECX reads of a harmless port: about a microsecond each. The PAUSE is for
 * emulators that run all CPUs in one thread, which switch to the next one there:
 * port reads alone can prevent that for longer than the wait.
 */
wait_a_while:
	pause
	inb	$0x80, %al
	loop	wait_a_while
	ret

send_ipi:
	movl	%eax, %edi
	movl	$MSR_APIC_BASE, %ecx
	rdmsr
	testl	$0x400, %eax
	jnz	1f
	movl	$SVR_ENABLED, APIC + 0xf0
	movl	%edi, APIC + 0x300
	ret
1:
	movl	$MSR_X2APIC_SVR, %ecx
	movl	$SVR_ENABLED, %eax
	xorl	%edx, %edx
	wrmsr
	movl	$MSR_X2APIC_ICR, %ecx
	movl	%edi, %eax
	xorl	%edx, %edx
	wrmsr
	ret

print:
	movl	$SERIAL + 5, %edx
1:
	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	lodsb
	testb	%al, %al
	jz	2f
	movl	$SERIAL, %edx
	outb	%al, %dx
	jmp	print
2:
	ret

text_passed:
	.asciz	"\r\nvrc-run: passed kexec_finds_every_cpu_out_of_vmx_operation\r\n"
text_failed:
	.asciz	"\r\nvrc-run: fail after kexec a CPU does not start, as one in VMX operation would not\r\n"
text_end:
	.asciz	"vrc-run: end\r\n"

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdtr:
	.word	. - gdt - 1
	.quad	AT(gdt)
no_idt:
	.word	0
	.quad	0
	.balign	4
started:
	.long	0

	/* The other CPUs start here, in real mode. */
	.balign	4096
	.code16
	cli
	movw	$KEXEC_PAYLOAD_BASE >> 4, %ax
	movw	%ax, %ds
	lock incl started - kexec_payload
1:
	hlt
	jmp	1b
	.org	kexec_payload + KEXEC_PAYLOAD_BYTES

	.section .note.GNU-stack, "", @progbits
