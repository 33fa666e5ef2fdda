// SPDX-License-Identifier: GPL-2.0
// Software interrupts and exceptions, and the VMX instructions of the guest, which raise #UD beneath.
#ifndef VMX_ON_SVM_GUEST_EXCEPTIONS_H
#define VMX_ON_SVM_GUEST_EXCEPTIONS_H

#include "classify.h"
#include "guest_events.h"

namespace {

class GuestExceptions : public GuestEvents {
 public:
	using GuestEvents::GuestEvents;

	void on_exception(unsigned vector)
	{
		if (vector == kInvalidOpcode && (int1() || vmx_instruction()))
			return;
		if (vector == kDebug)
			cpu_.debug_reported = guest_.dr6 & kDr6Reported;
		const u64 address = vector == kPageFault ? guest_.exit_info_2 : 0;
		raise(vector, error_code(vector), address);
	}

	// INT3, INTO and INT n.
	void on_software_interrupt()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("guest: cannot decode a software interrupt", guest_.exit_code, guest_.rip);
		u8 vector = instruction.is(0xcc) ? kBreakpoint : kOverflow;
		u32 type = kTypeSoftwareException;
		if (instruction.is(0xcd)) {
			peek(cpu_, code_address(cpu_, guest_.rip + instruction.length - 1), &vector, 1);
			type = kTypeSoftwareInterrupt;
		}
		guest_.rflags &= ~kFlagResume;
		if (type == kTypeSoftwareException && (cpu_.exception_bitmap & bit(vector))) {
			exit({.reason = kReasonException,
			      .length = instruction.length,
			      .interruption = interruption_info(vector, type)});
			return;
		}
		schedule_delivery(cpu_, {interruption_info(vector, type), 0, instruction.length, guest_.rip, true});
	}

	// A privileged software exception.
	void on_icebp()
	{
		Instruction instruction;
		const unsigned length = decode(cpu_, instruction) ? instruction.length : 1;
		const u32 info = interruption_info(kDebug, kTypePrivilegedSoftwareException);

		guest_.rflags &= ~kFlagResume;
		if (cpu_.exception_bitmap & bit(kDebug)) {
			exit({.reason = kReasonException, .length = length, .interruption = info});
			return;
		}
		schedule_delivery(cpu_, {info, 0, length, guest_.rip, true});
	}

 private:
	// QEMU 7.2 raises #UD for INT1 in an SVM guest, whether that is intercepted or not.
	bool int1()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction) || !instruction.is(0xf1))
			return false;
		on_icebp();
		return true;
	}

	// QEMU leaves out the P flag of a page fault by a reserved bit (SDM Vol. 3A, section 4.7).  Of an error code that names
	// an IDT entry it gives the offset in place of the number in IA-32e mode, and leaves out the EXT flag (section 6.13).
	u32 error_code(unsigned vector)
	{
		constexpr u32 kExternal = bit(0), kIdt = bit(1);
		const u32 error = guest_.exit_info_1;
		const u32 event = cpu_.delivery.info;
		constexpr u32 kPresent = bit(0), kReserved = bit(3);
		if (vector == kPageFault)
			return error | (error & kReserved ? kPresent : 0);
		const bool names_gate = vector == kInvalidTss || vector == kSegmentNotPresent ||
					vector == kGeneralProtection;

		if (!names_gate || !(error & kIdt) || !(event & kInfoValid))
			return error;
		return (event & kEventVectorMask) << 3 | kIdt | (is_software(info_type(event)) ? 0 : kExternal);
	}

	// SDM Vol. 3D, tables 28-8 to 28-14.
	u32 operand_info(const Instruction& instruction, bool two_operands)
	{
		u32 info = u32(instruction.scale) | (instruction.address_bytes / 4) << 7 |
			   u32(instruction.segment) << 15;
		if (instruction.index == kNoRegister)
			info |= bit(22);
		else
			info |= u32(instruction.index) << 18;
		if (instruction.base == kNoRegister)
			info |= bit(27);
		else
			info |= u32(instruction.base) << 23;
		if (!instruction.memory_operand)
			info = bit(10) | u32(instruction.rm) << 3;
		if (two_operands)
			info |= u32(instruction.reg) << 28;
		return info;
	}

	// In VMX non-root operation they exit before the privilege level is looked at.
	bool vmx_instruction()
	{
		static constexpr u32 kReason[] = {
			0,
			kReasonVmcall,
			kReasonVmlaunch,
			kReasonVmresume,
			kReasonVmxoff,
			kReasonVmxon,
			kReasonVmclear,
			kReasonVmptrld,
			kReasonVmptrst,
			kReasonVmread,
			kReasonVmwrite,
			kReasonInvept,
			kReasonInvvpid,
		};
		Instruction instruction;
		if (!decode(cpu_, instruction))
			return false;
		const VmxInstruction kind = classify(instruction);
		if (kind == VmxInstruction::None)
			return false;
		const bool compatibility_mode = cpu_.long_mode() && !cpu_.code_64();
		const bool mode_allows = (guest_.cr0 & kCr0ProtectionEnable) && !(guest_.rflags & kFlagVirtual8086) &&
					 !compatibility_mode;
		if (kind != VmxInstruction::Vmcall && !mode_allows)
			return false;
		Exit exit{.reason = kReason[static_cast<unsigned>(kind)], .length = instruction.length};
		const bool two_operands = kind == VmxInstruction::Vmread || kind == VmxInstruction::Vmwrite ||
					  kind == VmxInstruction::Invept || kind == VmxInstruction::Invvpid;
		if (kind >= VmxInstruction::Vmxon) {
			exit.instruction_info = operand_info(instruction, two_operands);
			if (instruction.memory_operand)
				exit.qualification = reported_displacement(cpu_, instruction);
		}
		guest_.rflags &= ~kFlagResume;
		exit_to_host(cpu_, exit);
		return true;
	}
};

}  // namespace

#endif
