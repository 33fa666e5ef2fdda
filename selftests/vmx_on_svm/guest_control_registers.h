// SPDX-License-Identifier: GPL-2.0
// Accesses to control and debug registers.  SDM Vol. 3C, sections 26.1.3 and 26.3, and table 28-3.
#ifndef VMX_ON_SVM_GUEST_CONTROL_REGISTERS_H
#define VMX_ON_SVM_GUEST_CONTROL_REGISTERS_H

#include "control_registers.h"
#include "guest_events.h"

namespace {

class GuestControlRegisters : public GuestEvents {
 public:
	using GuestEvents::GuestEvents;

	void on_cr_read(unsigned number)
	{
		const Instruction instruction = decode_access();
		if (instruction.is(0x0f, 0x01)) {
			smsw(instruction);
			return;
		}
		if (number == 8 && !(cpu_.proc_controls & kProcCr8StoreExiting)) {
			cpu_.set_general_register(instruction.rm, *virtual_tpr(cpu_) >> 4);
			skip(instruction.length);
			return;
		}
		if (number == 8 || (number == 3 && (cpu_.proc_controls & kProcCr3StoreExiting))) {
			exit_cr(instruction.length, number, kMovFromCr, u64(instruction.rm) << 8);
			return;
		}
		const u64 value = number == 0 ? visible_cr0() : number == 3 ? guest_cr3(cpu_) : visible_cr4();
		cpu_.set_general_register(instruction.rm, cpu_.code_64() ? value : low_half(value));
		skip(instruction.length);
	}

	void on_cr_write(unsigned number)
	{
		const Instruction instruction = decode_access();
		if (instruction.is(0x0f, 0x06)) {
			clts(instruction);
			return;
		}
		if (instruction.is(0x0f, 0x01)) {
			lmsw(instruction);
			return;
		}
		u64 value = cpu_.general_register(instruction.rm);
		if (!cpu_.code_64())
			value = low_half(value);
		const u64 operand = u64(instruction.rm) << 8;
		bool done = true;
		violation_address_ = guest_cr3(cpu_) & kPaeTableAddress;
		switch (number) {
		case 0: {
			const u64 mask = cpu_.read(Field::Cr0Mask);
			if ((value ^ cpu_.read(Field::Cr0Shadow)) & mask) {
				exit_cr(instruction.length, number, kMovToCr, operand);
				return;
			}
			done = set_cr0((value & ~mask) | (guest_.cr0 & mask));
			break;
		}
		case 4: {
			const u64 mask = cpu_.read(Field::Cr4Mask);
			if ((value ^ cpu_.read(Field::Cr4Shadow)) & mask) {
				exit_cr(instruction.length, number, kMovToCr, operand);
				return;
			}
			done = set_cr4((value & ~mask) | ((guest_.cr4 | kCr4Vmxe) & mask));
			break;
		}
		case 3:
			if ((cpu_.proc_controls & kProcCr3LoadExiting) && !is_cr3_target(value)) {
				exit_cr(instruction.length, number, kMovToCr, operand);
				return;
			}
			done = set_cr3(value & ~bit(63));
			break;
		default:
			if (cpu_.proc_controls & kProcCr8LoadExiting)
				exit_cr(instruction.length, number, kMovToCr, operand);
			else
				write_virtual_tpr(value, instruction.length);
			return;
		}
		if (done)
			skip(instruction.length);
		else if (violation_)
			exit_pdpte_violation();
		else
			general_protection();
	}

	void on_dr(unsigned number, bool write)
	{
		Instruction instruction;
		const bool decoded = decode(cpu_, instruction);
		const u64 operand = decoded ? u64(instruction.rm) << 8 : 0;

		if (!(cpu_.proc_controls & kProcMovDrExiting)) {
			if (!decoded)
				fatal("guest: cannot decode an access to DR6", guest_.exit_code, guest_.rip);
			access_dr6(instruction, number, write);
			return;
		}
		guest_.rflags &= ~kFlagResume;
		exit({.reason = kReasonMovDr,
		      .qualification = number | (write ? 0 : bit(4)) | operand,
		      .length = decoded ? instruction.length : u32{3}});
	}

 private:
	// SDM Vol. 3B, sections 18.2.2 to 18.2.4.
	void access_dr6(const Instruction& instruction, unsigned number, bool write)
	{
		constexpr u64 kCr4DebuggingExtensions = bit(3), kDr7GeneralDetect = bit(13);
		if (number != 6 && (guest_.cr4 & kCr4DebuggingExtensions)) {
			undefined_opcode();
			return;
		}
		if (guest_.dr7 & kDr7GeneralDetect) {
			raise_debug(kDr6GeneralDetect);
			// Delivery clears the bit.
			if (cpu_.in_guest)
				guest_.dr7 &= ~kDr7GeneralDetect;
			return;
		}
		if (!write) {
			cpu_.set_general_register(instruction.rm, cpu_.guest_dr6);
			skip(instruction.length);
			return;
		}
		const u64 value = cpu_.general_register(instruction.rm);
		if (cpu_.code_64() && value >> 32) {
			general_protection();
			return;
		}
		cpu_.guest_dr6 = (value & kDr6Reported) | kDr6Fixed1;
		skip(instruction.length);
	}

	// SDM Vol. 3C, section 30.1.2 and 30.3.
	void write_virtual_tpr(u64 value, unsigned length)
	{
		if (value >> 4) {
			general_protection();
			return;
		}
		*virtual_tpr(cpu_) = static_cast<u8>(value << 4);
		if (value < cpu_.read(Field::TprThreshold))
			exit_after(length, kReasonTprBelowThreshold);
		else
			skip(length);
	}

	Instruction decode_access()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("guest: cannot decode a control-register access", guest_.exit_code, guest_.rip);
		return instruction;
	}

	enum CrAccess : u64 { kMovToCr = 0, kMovFromCr = 1, kClts = 2, kLmsw = 3 };

	void exit_cr(unsigned length, unsigned number, CrAccess access, u64 operand, u64 linear = 0)
	{
		guest_.rflags &= ~kFlagResume;
		exit({.reason = kReasonCrAccess,
		      .qualification = number | access << 4 | operand,
		      .length = length,
		      .guest_linear = linear});
	}

	u64 visible_cr0()
	{
		const u64 mask = cpu_.read(Field::Cr0Mask);
		return (guest_.cr0 & ~mask) | (cpu_.read(Field::Cr0Shadow) & mask);
	}

	u64 visible_cr4()
	{
		const u64 mask = cpu_.read(Field::Cr4Mask);
		return ((guest_.cr4 | kCr4Vmxe) & ~mask) | (cpu_.read(Field::Cr4Shadow) & mask);
	}

	bool set_cr0(u64 value)
	{
		const bool unrestricted = cpu_.proc2_controls & kProc2UnrestrictedGuest;
		const u64 fixed0 = kCr0Fixed0 & ~(unrestricted ? kCr0ProtectionEnable | kCr0Paging : 0);
		// SDM Vol. 3A, section 4.4.1.
		constexpr u64 kPdpteLoading = kCr0Paging | kCr0CacheDisable | kCr0NotWriteThrough;
		const u64 old = guest_.cr0, old_efer = guest_.efer;

		if ((fixed0 & ~value) || !load_cr0(cpu_, value))
			return false;
		if (((guest_.cr0 ^ old) & kPdpteLoading) && !reload_pdptes(cpu_, guest_cr3(cpu_), violation_)) {
			guest_.cr0 = old;
			guest_.efer = old_efer;
			return false;
		}
		return true;
	}

	// The instruction comes again when EPT maps the table.
	void exit_pdpte_violation()
	{
		cpu_.write(Field::GuestPhysicalAddress, violation_address_);
		guest_.rflags |= kFlagResume;
		exit({.reason = kReasonEptViolation, .qualification = kEptRead});
	}

	bool violation_ = false;
	u64 violation_address_ = 0;

	bool set_cr3(u64 value)
	{
		if (!cpu_.facts.valid_physical(value))
			return false;
		if (cpu_.ept() && pae_paging(guest_)) {
			violation_address_ = value & kPaeTableAddress;
			return reload_pdptes(cpu_, value, violation_);
		}
		guest_.cr3 = value;
		return true;
	}

	bool set_cr4(u64 value)
	{
		const bool has_vmxe = (value & kCr4Vmxe) || g_cr4_hides_vmxe;
		if (!has_vmxe || !can_load_cr4(cpu_, value))
			return false;
		constexpr u64 kPdpteLoading = kCr4PageSizeExtensions | kCr4PhysicalAddressExtension | bit(7) | bit(20);
		const u64 old = guest_.cr4;
		guest_.cr4 = value & ~kCr4Vmxe;
		if (((guest_.cr4 ^ old) & kPdpteLoading) && !reload_pdptes(cpu_, guest_cr3(cpu_), violation_)) {
			guest_.cr4 = old;
			return false;
		}
		return true;
	}

	void clts(const Instruction& instruction)
	{
		const u64 mask = cpu_.read(Field::Cr0Mask);
		if (mask & cpu_.read(Field::Cr0Shadow) & kCr0TaskSwitched) {
			exit_cr(instruction.length, 0, kClts, 0);
			return;
		}
		if (!(mask & kCr0TaskSwitched))
			guest_.cr0 &= ~kCr0TaskSwitched;
		skip(instruction.length);
	}

	void lmsw(const Instruction& instruction)
	{
		constexpr u64 kLoaded = bits(0, 3);
		const u64 mask = cpu_.read(Field::Cr0Mask);
		const u64 shadow = cpu_.read(Field::Cr0Shadow);
		u64 source = 0;
		u64 linear = 0;

		if (instruction.memory_operand) {
			linear = linear_address(cpu_, instruction);
			if (!access_operand(cpu_, instruction, &source, 2, DataAccess::Read)) {
				raise_injected();
				return;
			}
		} else {
			source = cpu_.general_register(instruction.rm) & 0xffff;
		}
		const bool differs = (source ^ shadow) & mask & bits(1, 3);
		const bool sets_pe = mask & source & ~shadow & kCr0ProtectionEnable;
		if (differs || sets_pe) {
			exit_cr(instruction.length, 0, kLmsw, (instruction.memory_operand ? bit(6) : 0) | source << 16,
				linear);
			return;
		}
		const u64 keep = mask | (guest_.cr0 & kCr0ProtectionEnable);
		set_cr0((guest_.cr0 & (~kLoaded | keep)) | (source & kLoaded & ~keep));
		skip(instruction.length);
	}

	void smsw(const Instruction& instruction)
	{
		u64 value = visible_cr0();

		if (instruction.memory_operand) {
			if (!access_operand(cpu_, instruction, &value, 2, DataAccess::Write)) {
				raise_injected();
				return;
			}
		} else {
			const u64 old = cpu_.general_register(instruction.rm);
			const bool big = cpu_.vmcb().cs.attributes & kAttributeDefaultBig;
			if (instruction.rex & 8)
				cpu_.set_general_register(instruction.rm, value);
			else if (cpu_.code_64() ? !instruction.operand_size_prefix
						: big != instruction.operand_size_prefix)
				cpu_.set_general_register(instruction.rm, low_half(value));
			else
				cpu_.set_general_register(instruction.rm, (old & ~u64{0xffff}) | (value & 0xffff));
		}
		skip(instruction.length);
	}

	bool is_cr3_target(u64 value)
	{
		const u64 count = cpu_.read(Field::Cr3TargetCount);
		for (unsigned i = 0; i < count; ++i) {
			if (cpu_.read(Field::Cr3Target0 + i) == value)
				return true;
		}
		return false;
	}
};

}  // namespace

#endif
