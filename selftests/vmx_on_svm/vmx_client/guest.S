/* SPDX-License-Identifier: GPL-2.0 */
/* VM-entry, instructions that C cannot write, and the code of the guests. */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <linux/version.h>
#include <asm/unwind_hints.h>

	.text
	.code64

/* There is no stack frame that could be described: each place that objtool cannot reach by itself says so. */
.macro NO_FRAME
	ANNOTATE_NOENDBR
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	UNWIND_HINT_END_OF_STACK
#else
	UNWIND_HINT_EMPTY
#endif
.endm

#define HOST_RSP_FIELD 0x6c14
#define HOST_RIP_FIELD 0x6c16

/* int vc_enter(struct vc_registers *registers, int resume) */
SYM_CODE_START(vc_enter)
	NO_FRAME
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi
	movl	$HOST_RSP_FIELD, %eax
	vmwrite	%rsp, %rax
	leaq	.Lexit(%rip), %rdx
	movl	$HOST_RIP_FIELD, %eax
	vmwrite	%rdx, %rax
	testl	%esi, %esi
	movq	0x00(%rdi), %rax
	movq	0x08(%rdi), %rcx
	movq	0x10(%rdi), %rdx
	movq	0x18(%rdi), %rbx
	movq	0x28(%rdi), %rbp
	movq	0x30(%rdi), %rsi
	movq	0x40(%rdi), %r8
	movq	0x48(%rdi), %r9
	movq	0x50(%rdi), %r10
	movq	0x58(%rdi), %r11
	movq	0x60(%rdi), %r12
	movq	0x68(%rdi), %r13
	movq	0x70(%rdi), %r14
	movq	0x78(%rdi), %r15
	movq	0x38(%rdi), %rdi
	jne	1f
	vmlaunch
	jmp	2f
1:	vmresume
2:	popq	%rdi
	movl	$1, %eax
	jc	3f
	movl	$2, %eax
	jmp	3f

.Lexit:
	NO_FRAME
	pushq	%rdi
	movq	8(%rsp), %rdi
	movq	%rax, 0x00(%rdi)
	movq	%rcx, 0x08(%rdi)
	movq	%rdx, 0x10(%rdi)
	movq	%rbx, 0x18(%rdi)
	movq	%rbp, 0x28(%rdi)
	movq	%rsi, 0x30(%rdi)
	movq	%r8,  0x40(%rdi)
	movq	%r9,  0x48(%rdi)
	movq	%r10, 0x50(%rdi)
	movq	%r11, 0x58(%rdi)
	movq	%r12, 0x60(%rdi)
	movq	%r13, 0x68(%rdi)
	movq	%r14, 0x70(%rdi)
	movq	%r15, 0x78(%rdi)
	popq	%rax
	movq	%rax, 0x38(%rdi)
	pushfq
	popq	%rax
	movq	%rax, 0x20(%rdi)
	popq	%rdi
	xorl	%eax, %eax
3:	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	RET
SYM_CODE_END(vc_enter)

SYM_CODE_START(vc_launch_after_mov_ss)
	NO_FRAME
	movl	%ss, %ecx
	movl	%ecx, %ss
	vmlaunch
	movl	$1, %eax
	jc	1f
	movl	$2, %eax
	jz	1f
	xorl	%eax, %eax
1:	RET
SYM_CODE_END(vc_launch_after_mov_ss)

SYM_CODE_START(vc_vmwrite_sib)
	NO_FRAME
	vmwrite	0x40(%rsi,%rdx,8), %rdi
	RET
SYM_CODE_END(vc_vmwrite_sib)

SYM_CODE_START(vc_vmread_stack)
	NO_FRAME
	pushq	$0
	vmread	%rdi, (%rsp)
	popq	%rax
	RET
SYM_CODE_END(vc_vmread_stack)

SYM_CODE_START(vc_vmread_rip_relative)
	NO_FRAME
	vmread	%rdi, .Lvariable(%rip)
	movq	.Lvariable(%rip), %rax
	RET
SYM_CODE_END(vc_vmread_rip_relative)

SYM_CODE_START(vc_vmread_flags)
	NO_FRAME
	movb	$0x7f, %al
	addb	$1, %al				/* OF, SF, AF */
	stc
	vmread	%rdi, %rdx
	pushfq
	popq	%rax
	andl	$0x8d5, %eax
	RET
SYM_CODE_END(vc_vmread_flags)

SYM_CODE_START(vc_call_interrupt_handler)
	NO_FRAME
	pushq	%rbp
	movq	%rsp, %rbp
	andq	$-16, %rsp
	movl	%ss, %eax
	pushq	%rax
	pushq	%rbp
	pushfq
	movl	%cs, %eax
	pushq	%rax
	leaq	1f(%rip), %rax
	pushq	%rax
	/* The handler returns by IRET to here. */
	pushq	%rdi
	RET
1:	NO_FRAME
	movq	%rbp, %rsp
	popq	%rbp
	RET
SYM_CODE_END(vc_call_interrupt_handler)

SYM_CODE_START(vc_call_nmi_handler)
	NO_FRAME
	int	$2
	RET
SYM_CODE_END(vc_call_nmi_handler)

	.data
	.balign 8
.Lvariable:
	.quad	0

	.text

/* Guest code.  Each label is one test; a test that goes on ends in VMCALL. */
.macro GUEST name
	.globl	vc_guest_\name
vc_guest_\name:
	NO_FRAME
.endm

.macro GUEST_DATA name
	.globl	vc_guest_\name
vc_guest_\name:
.endm

GUEST cpuid
	cpuid
	stc
	sbbq	%rbx, %rbx
	vmcall
GUEST hlt
	hlt
GUEST invd
	invd
GUEST wbinvd
	wbinvd
	vmcall
GUEST invlpg
	invlpg	0x10(%rbx,%rdi,2)
GUEST invlpg_gs
	invlpg	%gs:0x20(%rax)
GUEST rdpmc
	rdpmc
GUEST rdtsc
	rdtsc
	vmcall
GUEST rdtscp
	rdtscp
	vmcall
GUEST pause
	pause
	vmcall
GUEST monitor
	monitor
GUEST mwait
	mwait
GUEST xsetbv
	xsetbv
GUEST vmcall
	vmcall
GUEST vmclear
	vmclear	0x18(%rbx,%rcx,4)
GUEST vmptrld
	vmptrld	8(%rsp)
GUEST vmptrst
	vmptrst	%gs:-0x10(%r13)
GUEST vmread_register
	vmread	%rax, %rbx
GUEST vmread_memory
	vmread	%r9, 0x20(%rsi)
GUEST vmwrite
	vmwrite	%r12, %rdx
GUEST vmlaunch
	vmlaunch
GUEST vmresume
	vmresume
GUEST vmxoff
	vmxoff
GUEST vmxon
	vmxon	(%rdi)
GUEST invept
	invept	(%rdi), %rax
GUEST invvpid
	invvpid	4(%rdi), %rcx
GUEST mov_to_cr0
	movq	%rax, %cr0
	vmcall
GUEST mov_from_cr0
	movq	%cr0, %rax
	vmcall
GUEST mov_to_cr3
	movq	%r15, %cr3
	vmcall
GUEST mov_from_cr3
	movq	%cr3, %r14
	vmcall
GUEST mov_to_cr4
	movq	%rax, %cr4
	vmcall
GUEST mov_from_cr4
	movq	%cr4, %rax
	vmcall
GUEST mov_to_cr8
	movq	%rbx, %cr8
	vmcall
GUEST mov_from_cr8
	movq	%cr8, %rcx
	vmcall
GUEST clts
	clts
	vmcall
GUEST lmsw_register
	lmsw	%ax
	vmcall
GUEST lmsw_memory
	lmsw	(%rdi)
	vmcall
GUEST smsw
	smsw	%rax
	vmcall
GUEST mov_to_dr
	movq	%rsi, %dr3
	vmcall
GUEST mov_from_dr
	movq	%dr7, %r10
	vmcall
GUEST out_dx
	outb	%al, %dx
	vmcall
GUEST in_immediate
	inl	$0x71, %eax
	vmcall
GUEST out_immediate
	outw	%ax, $0x72
	vmcall
GUEST rep_outsb
	rep outsb
GUEST outsl_gs
	outsl	%gs:(%rsi), (%dx)
GUEST rep_insw
	addr32 rep insw
GUEST rdmsr
	rdmsr
	vmcall
GUEST wrmsr
	wrmsr
	vmcall
GUEST ud2
	ud2
GUEST int3
	int3
GUEST int_n
	int	$0x42
GUEST icebp
	.byte	0xf1
GUEST gp
	movq	(%rax), %rbx
GUEST div
	xorl	%ecx, %ecx
	divl	%ecx
GUEST store
	movq	%rbx, (%rdi)
	vmcall
GUEST load
	movq	(%rsi), %rbx
	vmcall
/* Tests name the addresses inside of these two. */
GUEST nops
	nop
	ANNOTATE_NOENDBR
	nop
	ANNOTATE_NOENDBR
	nop
	vmcall
GUEST sti_nops
	sti
	ANNOTATE_NOENDBR
	nop
	ANNOTATE_NOENDBR
	nop
	vmcall
GUEST sti_cpuid
	sti
	cpuid
	nop
	vmcall
GUEST mov_ss_cpuid
	movl	%edx, %ss
	cpuid
	nop
	vmcall
GUEST mov_ss_nops
	movl	%edx, %ss
	nop
	nop
	vmcall
GUEST cpuid_nop
	cpuid
	nop
	vmcall
GUEST pushf
	pushfq
	popq	%rax
	vmcall
GUEST popf
	popfq
	nop
	nop
	vmcall
GUEST rep_stosb
	rep stosb
	vmcall
GUEST syscall
	syscall
GUEST sysret
	sysretq
GUEST hlt_nops
	hlt
	nop
	vmcall
GUEST sti_hlt
	sti
	hlt
	nop
	vmcall
GUEST spin
1:	pause
	jmp	1b
GUEST store_and_spin
	movl	%ebx, (%rdi)
1:	nop
	jmp	1b
GUEST iretq
	iretq
GUEST after_iretq
	nop
	vmcall

/*
 * Handlers of the guest's IDT, 16 bytes each.  The NOP is for emulators with several CPUs that take the RIP of a VM-exit by
 * a handler's first instruction from the instruction that faulted.
 */
	.balign	16
GUEST handlers
	.rept	256
	.balign	16
	nop
	vmcall
	.endr

/* Code that is copied to guest memory. */
	.section .rodata, "a", @progbits

/* Real mode, loaded at 0x1000. */
	.code16
GUEST_DATA real_mode
	movw	$0x1234, %ax
	movw	%ax, 0x2000
	cpuid
	movw	0x5000, %ax
	hlt
	rep outsb
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$0x2000, %di
	invlpg	2(%bx,%di)
	hlt
GUEST_DATA real_mode_end

/* Protected mode, flat, without paging, loaded at 0x1000. */
	.code32
GUEST_DATA protected_mode
	movl	$0x89abcdef, %eax
	movl	%eax, 0x2000
	cpuid
	smsw	%eax
	rep outsb %fs:(%esi), (%dx)
	lock incl 0x3000
	movl	0x200000, %eax
	hlt
GUEST_DATA protected_mode_end
	.code64

/* Protected mode with PAE paging, loaded at 0x1000. */
	.code32
GUEST_DATA pae
	cpuid
	movl	0x5000, %esi
	movl	%ebx, %cr3
	movl	0x5000, %edi
	movl	%cr3, %ecx
	movl	%cr4, %eax
	orl	$0x80, %eax
	movl	%eax, %cr4
	movl	0x5000, %eax
	hlt
GUEST_DATA pae_end
	.code64

/* Long mode with EPT, loaded at 0x1000; each event at a place of its own. */
	.balign	16
GUEST_DATA events
	.byte	0xcd, 0x42			/* INT 42H, in two bytes */
	.balign	16, 0x90
	int3
	.balign	16, 0x90
	ud2
	.balign	16, 0x90
	iretq
GUEST_DATA events_end

/* Long mode with EPT, loaded at 0x1000. */
GUEST_DATA long_mode
	movq	$0x1122334455667788, %rax
	movq	%rax, 0x2000
	cpuid
	movq	0x5008, %rbx
	movq	%rbx, 0x6010
	jmp	.Llong_mode + 0x6000
.Llong_mode:
	hlt
GUEST_DATA long_mode_end

	.section .note.GNU-stack, "", @progbits
