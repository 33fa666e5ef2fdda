/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Offsets that entry.S shares with C++; static_assert stands beside the structure (cpu.h).
 * A Cpu begins with its stack, so that the stack pointer rounded down gives the Cpu.
 */
#ifndef VMX_ON_SVM_OFFSETS_H
#define VMX_ON_SVM_OFFSETS_H

#define VOS_STACK_BYTES		0x4000

#define VOS_REGISTERS		(VOS_STACK_BYTES + 0x00)
#define VOS_RUN_VMCB		(VOS_STACK_BYTES + 0x80)
#define VOS_INTERRUPTS_OPEN	(VOS_STACK_BYTES + 0x88)
#define VOS_NMI_TAKEN		(VOS_STACK_BYTES + 0x90)
#define VOS_VECTOR_TAKEN	(VOS_STACK_BYTES + 0x98)
/* The operand of LIDT: the limit stands at +6, the base at +8. */
#define VOS_MONITOR_IDTR	(VOS_STACK_BYTES + 0xa0)

#endif
