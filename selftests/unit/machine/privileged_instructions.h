// SPDX-License-Identifier: GPL-2.0
// Privileged instructions as calls.  The assembler prefers a macro to an instruction of the same name, so source code
// after this file is assembled with each of these instructions replaced, and needs no change.
//
// The calls go to emulation.cc.  Each has two slots on the stack: the lower one holds an input operand, the upper one
// VMWRITE's value or an output; for an operand in memory both hold its address.  No other register changes, and flags
// change only as by the instruction, so the constraints of the inline assembly hold.  A call would overwrite a red
// zone: -mno-red-zone.
#pragma once

// clang-format off
asm(R"(
.macro vrc_implicit_operands name
	push $0
	push $0
	call vrc_emulate_\name
	lea 16(%rsp), %rsp
.endm

.macro vrc_memory_operand name, operand:vararg
	movq %rax, vrc_emulate_scratch(%rip)
	leaq \operand, %rax
	push %rax
	push %rax
	movq vrc_emulate_scratch(%rip), %rax
	call vrc_emulate_\name
	lea 16(%rsp), %rsp
.endm

.macro vrc_to_word_register name, to
	push $0
	push $0
	call vrc_emulate_\name
	movw 8(%rsp), \to
	lea 16(%rsp), %rsp
.endm

.macro vrc_from_word_register name, from
	push $0
	push $0
	movw \from, (%rsp)
	call vrc_emulate_\name
	lea 16(%rsp), %rsp
.endm

.macro vmread field, value
	push $0
	push \field
	call vrc_emulate_vmread
	lea 8(%rsp), %rsp
	pop \value
.endm

.macro vmwrite value, field
	push \value
	push \field
	call vrc_emulate_vmwrite
	lea 16(%rsp), %rsp
.endm

.macro invept descriptor, type
	push \type
	push $0
	call vrc_emulate_invept
	lea 16(%rsp), %rsp
.endm

.irp name, vmxon, vmptrld, vmptrst, vmclear, sgdt, sidt, lgdt, lidt
	.macro \name operand:vararg
		vrc_memory_operand \name, \operand
	.endm
.endr

.irp name, vmxoff, rdmsr, wrmsr, cpuid, rdtsc, xgetbv, xsetbv, rdpkru, wrpkru
	.macro \name
		vrc_implicit_operands \name
	.endm
.endr

# The process has no interrupts.
.macro cli
.endm

.irp name, str, sldt
	.macro \name to
		vrc_to_word_register \name, \to
	.endm
.endr

.macro lldt from
	vrc_from_word_register lldt, \from
.endm

# GCC emits MOV with a size suffix; without one, it is from inline assembly.
.macro mov from:req, to:req
	.set vrc_matches, 0
	.irp register, cr0, cr2, cr3, cr4, dr0, dr1, dr2, dr3, dr6, dr7
		.ifc \from,%\register
			.set vrc_matches, 1
			push $0
			push $0
			call vrc_emulate_read_\register
			lea 8(%rsp), %rsp
			pop \to
		.endif
		.ifc \to,%\register
			.set vrc_matches, 1
			push $0
			push \from
			call vrc_emulate_write_\register
			lea 16(%rsp), %rsp
		.endif
	.endr
	.irp register, cs, ss, ds, es, fs, gs
		.ifc \from,%\register
			.set vrc_matches, 1
			vrc_to_word_register read_\register, \to
		.endif
	.endr
	.if !vrc_matches
		.error "MOV of a register that nothing here emulates"
	.endif
.endm
)");
// clang-format on
