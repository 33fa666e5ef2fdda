// SPDX-License-Identifier: GPL-2.0
// Which VMX instruction an undefined opcode is.  SDM Vol. 3C, chapter 31.
#ifndef VMX_ON_SVM_CLASSIFY_H
#define VMX_ON_SVM_CLASSIFY_H

#include "decode.h"

namespace {

// clang-format off
enum class VmxInstruction : u8 {
	None, Vmcall, Vmlaunch, Vmresume, Vmxoff, Vmxon, Vmclear, Vmptrld, Vmptrst, Vmread, Vmwrite, Invept, Invvpid,
};
// clang-format on

inline VmxInstruction classify(const Instruction& instruction)
{
	const bool only_66 = instruction.operand_size_prefix && !instruction.repeat && !instruction.repeat_not_equal &&
			     !instruction.lock;
	const bool only_f3 = instruction.repeat && !instruction.lock;
	const bool plain = !instruction.any_prefix();

	if (instruction.is(0x0f, 0x01) && !instruction.memory_operand && instruction.group() == 0 && plain) {
		switch (instruction.rm & 7) {
		case 1:
			return VmxInstruction::Vmcall;
		case 2:
			return VmxInstruction::Vmlaunch;
		case 3:
			return VmxInstruction::Vmresume;
		case 4:
			return VmxInstruction::Vmxoff;
		default:
			return VmxInstruction::None;
		}
	}
	if (instruction.is(0x0f, 0xc7) && instruction.memory_operand) {
		if (instruction.group() == 7)
			return plain ? VmxInstruction::Vmptrst : VmxInstruction::None;
		if (instruction.group() != 6)
			return VmxInstruction::None;
		if (only_f3)
			return VmxInstruction::Vmxon;
		if (only_66)
			return VmxInstruction::Vmclear;
		return plain ? VmxInstruction::Vmptrld : VmxInstruction::None;
	}
	if (instruction.is(0x0f, 0x78) && plain)
		return VmxInstruction::Vmread;
	if (instruction.is(0x0f, 0x79) && plain)
		return VmxInstruction::Vmwrite;
	if (instruction.is(0x0f, 0x38, 0x80) && instruction.memory_operand && only_66)
		return VmxInstruction::Invept;
	if (instruction.is(0x0f, 0x38, 0x81) && instruction.memory_operand && only_66)
		return VmxInstruction::Invvpid;
	return VmxInstruction::None;
}

}  // namespace

#endif
