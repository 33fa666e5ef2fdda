/* SPDX-License-Identifier: GPL-2.0 */
#include "guest.h"

#define BODY	guest_body32
#define AX	%eax
#define BX	%ebx
#define CX	%ecx
#define SP_SLOT	(%esp)

	.section .rodata
	.code32
	.globl guest_body32
	.globl guest_body32_end
#include "guest_body.inc"
guest_body32_end:

	.section .note.GNU-stack, "", @progbits
