/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Offsets that entry.S shares with C++; static_assert stands beside the structures (cpu.h, vmcb.h).
 * A Cpu begins with its stack, so that the stack pointer rounded down gives the Cpu.
 */
#ifndef VMX_ON_SVM_OFFSETS_H
#define VMX_ON_SVM_OFFSETS_H

#define VOS_STACK_BYTES		0x4000

#define VOS_REGISTERS		(VOS_STACK_BYTES + 0x00)
#define VOS_RUN_VMCB		(VOS_STACK_BYTES + 0x80)
#define VOS_STUB_CR3		(VOS_STACK_BYTES + 0x88)
#define VOS_LINUX_VMCB		(VOS_STACK_BYTES + 0x90)
#define VOS_INTERRUPTS_OPEN	(VOS_STACK_BYTES + 0x98)
#define VOS_NMI_TAKEN		(VOS_STACK_BYTES + 0xa0)
#define VOS_VECTOR_TAKEN	(VOS_STACK_BYTES + 0xa8)
#define VOS_LEAVE_RIP		(VOS_STACK_BYTES + 0xb0)
#define VOS_LEAVE_CS		(VOS_STACK_BYTES + 0xb8)
#define VOS_LEAVE_RFLAGS	(VOS_STACK_BYTES + 0xc0)
#define VOS_LEAVE_RSP		(VOS_STACK_BYTES + 0xc8)
#define VOS_LEAVE_SS		(VOS_STACK_BYTES + 0xd0)
#define VOS_LEAVE_CR3		(VOS_STACK_BYTES + 0xd8)
/* Operands of LIDT: the limit stands at +6, the base at +8. */
#define VOS_STUB_IDTR		(VOS_STACK_BYTES + 0xe0)
#define VOS_LEAVE_IDTR		(VOS_STACK_BYTES + 0xf0)

#define VOS_VMCB_RFLAGS		0x570
#define VOS_VMCB_RIP		0x578
#define VOS_VMCB_RSP		0x5d8
#define VOS_VMCB_RAX		0x5f8

#endif
