/* SPDX-License-Identifier: GPL-2.0 */
#include "guest.h"

#define GUEST_IS_64BIT
#define BODY	guest_body64
#define AX	%rax
#define BX	%rbx
#define CX	%rcx
#define SP_SLOT	(%rsp)

	.section .rodata
	.code64
	.globl guest_body64
	.globl guest_body64_end
#include "guest_body.inc"
guest_body64_end:

	.section .note.GNU-stack, "", @progbits
