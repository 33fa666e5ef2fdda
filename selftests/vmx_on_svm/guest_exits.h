// SPDX-License-Identifier: GPL-2.0
// Exits of the guest: handled here where VMX would not exit, or turned into VM-exits.  SDM Vol. 3C, chapter 26.
#ifndef VMX_ON_SVM_GUEST_EXITS_H
#define VMX_ON_SVM_GUEST_EXITS_H

#include "classify.h"
#include "entry.h"

namespace {

class GuestExit {
public:
	explicit GuestExit(Cpu &cpu) : cpu_(cpu), guest_(cpu.guest_vmcb) {}

	void handle()
	{
		const u32 code = guest_.exit_code;

		note_delivery();
		if (finish_step(code))
			return;
		note_progress(code);
		dispatch(code);
		if (cpu_.in_guest)
			resume();
	}

private:
	// The event whose delivery the exit interrupted.  SDM Vol. 3C, section 28.2.4.
	void note_delivery()
	{
		const u32 info = guest_.exit_interrupt_info;
		const unsigned vector = info & kEventVectorMask;

		guest_.event = 0;
		if (!(info & kEventValid)) {
			cpu_.delivery = {};
			return;
		}
		if (cpu_.delivery.info & kInfoValid)
			return;
		cpu_.delivery = { 0, guest_.exit_interrupt_error, 0, guest_.rip, false };
		u32 type = kTypeHardwareException;
		if ((info & kEventTypeMask) == kEventSoftware) {
			Instruction instruction;
			type = kTypeSoftwareInterrupt;
			if (decode(cpu_, instruction)) {
				cpu_.delivery.length = instruction.length;
				if (!instruction.is(0xcd))
					type = kTypeSoftwareException;
			}
		} else if (vector == kNmi) {
			type = kTypeNmi;
		} else if (vector > 31) {
			// QEMU records interrupts as exceptions.
			type = kTypeExternalInterrupt;
		}
		cpu_.delivery.info = interruption_info(vector, type, info & kEventErrorCode);
	}

	// Ends single-stepping.  True if the exit is dealt with.
	bool finish_step(u32 code)
	{
		const Step step = cpu_.step;
		if (step == Step::None)
			return false;
		const bool completed = code == kExitException + u32{kDebug} && (guest_.dr6 & kDr6SingleStep);
		if (!completed) {
			restore_trap_flag();
			return false;
		}
		cpu_.step = Step::None;
		cpu_.shadow = 0;
		cpu_.iret_unblocked = false;
		const bool guest_trap = cpu_.step_guest_trap;
		// The IRET has loaded the flag itself.
		if (step == Step::Shadow)
			restore_trap_flag();
		if (guest_trap)
			return false;
		guest_.dr6 = (guest_.dr6 & ~kDr6SingleStep) | (cpu_.entry_dr6 & kDr6SingleStep);
		if ((cpu_.proc_controls & kProcNmiWindowExiting) && !cpu_.nmi_blocked) {
			exit_to_host(cpu_, { .reason = kReasonNmiWindow });
			return true;
		}
		prepare_to_run(cpu_);
		return true;
	}

	void restore_trap_flag()
	{
		guest_.rflags &= ~kFlagTrap;
		if (cpu_.step_guest_trap)
			guest_.rflags |= kFlagTrap;
	}

	// Interrupt shadow and IRET, as far as the exit tells.
	void note_progress(u32 code)
	{
		const bool fault = (code >= kExitException && code < kExitException + 32) ||
				code == kExitNestedPageFault;

		if (guest_.rip != cpu_.shadow_rip)
			cpu_.shadow = 0;
		if (const u8 shadow = shadow_kind(cpu_)) {
			cpu_.shadow = shadow;
			cpu_.shadow_rip = guest_.rip;
		}
		if (!cpu_.iret_unblocked)
			return;
		if (guest_.rip != cpu_.iret_rip) {
			cpu_.iret_unblocked = false;
		} else if (!fault) {
			// It came before the IRET.
			cpu_.iret_unblocked = false;
			cpu_.nmi_blocked = true;
			cpu_.step = Step::None;
		}
	}

	// The guest goes on: redeliver what the exit interrupted, keep the shadow.
	void resume()
	{
		const u32 type = info_type(cpu_.delivery.info);
		const bool interrupted = cpu_.delivery.info & kInfoValid;

		if (interrupted && !(guest_.event & kEventValid)) {
			// A software event of the guest's own execution comes again with its instruction.
			if (cpu_.delivery.injected || !is_software(type))
				schedule_delivery(cpu_, cpu_.delivery);
			else
				cpu_.delivery = {};
		}
		if (guest_.event & kEventValid) {
			cpu_.step = Step::None;
			cpu_.shadow = 0;
		} else if (cpu_.shadow && cpu_.step == Step::None && shadow_matters(cpu_)) {
			cpu_.step = Step::Shadow;
		}
		prepare_to_run(cpu_);
	}

	void exit(const Exit &exit) { exit_to_host(cpu_, exit); }

	void exit_instruction(ExitReason reason, unsigned fallback_length)
	{
		Instruction instruction;
		const unsigned length = decode(cpu_, instruction) ? instruction.length : fallback_length;
		guest_.rflags &= ~kFlagResume;
		exit({ .reason = reason, .length = length });
	}

	void skip(unsigned length)
	{
		finish_instruction(cpu_, length);
		cpu_.shadow = 0;
		if (guest_.event & kEventValid) {
			// The trap of RFLAGS.TF.
			guest_.event = 0;
			raise(kDebug, 0);
		}
	}

	// Exceptions.

	bool wants_exception(unsigned vector, u32 error)
	{
		bool wanted = cpu_.exception_bitmap & bit(vector);
		if (vector == kPageFault) {
			const bool matches = (error & cpu_.read(Field::PageFaultErrorMask)) ==
				cpu_.read(Field::PageFaultErrorMatch);
			wanted = matches ? wanted : !wanted;
		}
		return wanted;
	}

	static bool contributory(unsigned vector) { return kContributoryExceptions & bit(vector); }

	// SDM Vol. 3A, table 6-5.
	static bool makes_double_fault(unsigned first, unsigned second)
	{
		if (first == kPageFault)
			return second == kPageFault || contributory(second);
		return contributory(first) && contributory(second);
	}

	// An exception of the guest: to the host, or into the guest.
	void raise(unsigned vector, u32 error, u64 fault_address = 0)
	{
		const bool delivering = (cpu_.delivery.info & kInfoValid) &&
			info_type(cpu_.delivery.info) == kTypeHardwareException;
		const unsigned first = cpu_.delivery.info & 0xff;

		if (wants_exception(vector, error)) {
			exit_exception(vector, error, fault_address);
			return;
		}
		if (delivering && first == kDoubleFault && (contributory(vector) || vector == kPageFault)) {
			exit({ .reason = kReasonTripleFault });
			return;
		}
		if (vector == kPageFault)
			guest_.cr2 = fault_address;
		if (delivering && makes_double_fault(first, vector)) {
			cpu_.delivery = {};
			vector = kDoubleFault;
			error = 0;
			if (wants_exception(vector, error)) {
				exit_exception(vector, error, 0);
				return;
			}
		}
		schedule_exception(cpu_, vector, error);
	}

	void exit_exception(unsigned vector, u32 error, u64 fault_address)
	{
		const bool with_error = has_error_code(vector) && (guest_.cr0 & kCr0ProtectionEnable);
		Exit exit{ .reason = kReasonException };

		exit.interruption = interruption_info(vector, kTypeHardwareException, with_error);
		if (cpu_.iret_unblocked && vector != kDoubleFault)
			exit.interruption |= kInfoNmiUnblocking;
		if (with_error)
			exit.error = error;
		if (vector == kPageFault)
			exit.qualification = fault_address;
		if (vector == kDebug) {
			// DR6 is left as it was.
			exit.qualification = guest_.dr6 & kDr6Reported;
			guest_.dr6 &= ~(exit.qualification & ~cpu_.entry_dr6);
		} else {
			guest_.rflags |= kFlagResume;
		}
		exit_to_host(cpu_, exit);
	}

	void undefined_opcode() { raise(kInvalidOpcode, 0); }
	void general_protection() { raise(kGeneralProtection, 0); }

	void on_exception(unsigned vector)
	{
		if (vector == kInvalidOpcode && vmx_instruction())
			return;
		const u64 address = vector == kPageFault ? guest_.exit_info_2 : 0;
		raise(vector, guest_.exit_info_1, address);
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
			exit({ .reason = kReasonException, .length = instruction.length,
			       .interruption = interruption_info(vector, type) });
			return;
		}
		schedule_delivery(cpu_, { interruption_info(vector, type), 0, instruction.length, guest_.rip, true });
	}

	// INT1: a privileged software exception.
	void on_icebp()
	{
		Instruction instruction;
		const unsigned length = decode(cpu_, instruction) ? instruction.length : 1;
		const u32 info = interruption_info(kDebug, kTypePrivilegedSoftwareException);

		guest_.rflags &= ~kFlagResume;
		if (cpu_.exception_bitmap & bit(kDebug)) {
			exit({ .reason = kReasonException, .length = length, .interruption = info });
			return;
		}
		schedule_delivery(cpu_, { info, 0, length, guest_.rip, true });
	}

	// VMX instructions.

	// SDM Vol. 3D, tables 28-8 to 28-14.
	u32 operand_info(const Instruction &instruction, bool two_operands)
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
		// clang-format off
		static constexpr u32 kReason[] = {
			0, kReasonVmcall, kReasonVmlaunch, kReasonVmresume, kReasonVmxoff, kReasonVmxon, kReasonVmclear,
			kReasonVmptrld, kReasonVmptrst, kReasonVmread, kReasonVmwrite, kReasonInvept, kReasonInvvpid,
		};
		// clang-format on
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
		Exit exit{ .reason = kReason[static_cast<unsigned>(kind)], .length = instruction.length };
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

	// Control registers.  SDM Vol. 3C, sections 26.1.3 and 26.3, and table 28-3.

	enum CrAccess : u64 { kMovToCr = 0, kMovFromCr = 1, kClts = 2, kLmsw = 3 };

	void exit_cr(unsigned length, unsigned number, CrAccess access, u64 operand, u64 linear = 0)
	{
		guest_.rflags &= ~kFlagResume;
		exit({ .reason = kReasonCrAccess, .qualification = number | access << 4 | operand, .length = length,
		       .guest_linear = linear });
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
		const bool paging = value & kCr0Paging;
		const bool turns_paging = (value ^ guest_.cr0) & kCr0Paging;

		value = (value & kCr0Defined) | kCr0ExtensionType | (value & bits(32, 63));
		if ((value >> 32) || (fixed0 & ~value))
			return false;
		if (paging && !(value & kCr0ProtectionEnable))
			return false;
		if ((value & kCr0NotWriteThrough) && !(value & kCr0CacheDisable))
			return false;
		if (!paging && (guest_.cr4 & kCr4Pcide))
			return false;
		if (turns_paging && paging && (guest_.efer & kEferLongMode)) {
			if (!(guest_.cr4 & kCr4PhysicalAddressExtension) || (guest_.cs.attributes & kAttributeLong))
				return false;
			guest_.efer |= kEferLongModeActive;
		}
		if (turns_paging && !paging) {
			if (cpu_.code_64())
				return false;
			guest_.efer &= ~kEferLongModeActive;
		}
		guest_.cr0 = value;
		return true;
	}

	bool set_cr4(u64 value)
	{
		if (!(value & kCr4Vmxe) || (value & ~cpu_.facts.cr4_may_be_1))
			return false;
		if (cpu_.long_mode() && (!(value & kCr4PhysicalAddressExtension) ||
					 ((value ^ guest_.cr4) & kCr4La57)))
			return false;
		if ((value & ~guest_.cr4 & kCr4Pcide) && (!cpu_.long_mode() || (guest_.cr3 & 0xfff)))
			return false;
		guest_.cr4 = value & ~kCr4Vmxe;
		return true;
	}

	void clts(const Instruction &instruction)
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

	void lmsw(const Instruction &instruction)
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
			exit_cr(instruction.length, 0, kLmsw, (instruction.memory_operand ? bit(6) : 0) |
					source << 16, linear);
			return;
		}
		const u64 keep = mask | (guest_.cr0 & kCr0ProtectionEnable);
		set_cr0((guest_.cr0 & (~kLoaded | keep)) | (source & kLoaded & ~keep));
		skip(instruction.length);
	}

	void smsw(const Instruction &instruction)
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
			else if (cpu_.code_64()
					? !instruction.operand_size_prefix : big != instruction.operand_size_prefix)
				cpu_.set_general_register(instruction.rm, low_half(value));
			else
				cpu_.set_general_register(instruction.rm, (old & ~u64{0xffff}) | (value & 0xffff));
		}
		skip(instruction.length);
	}

	// access_operand() has put the exception into the control block; give it its VMX meaning.
	void raise_injected()
	{
		const unsigned vector = guest_.event & kEventVectorMask;
		const u32 error = guest_.event_error;
		const u64 address = guest_.cr2;
		guest_.event = 0;
		raise(vector, error, address);
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

	void on_cr_read(unsigned number)
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("guest: cannot decode a control-register access", guest_.exit_code, guest_.rip);
		if (instruction.is(0x0f, 0x01)) {
			smsw(instruction);
			return;
		}
		if (number == 3 || number == 8) {
			exit_cr(instruction.length, number, kMovFromCr, u64(instruction.rm) << 8);
			return;
		}
		const u64 value = number == 0 ? visible_cr0() : visible_cr4();
		cpu_.set_general_register(instruction.rm, cpu_.code_64() ? value : low_half(value));
		skip(instruction.length);
	}

	void on_cr_write(unsigned number)
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("guest: cannot decode a control-register access", guest_.exit_code, guest_.rip);
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
			if (!is_cr3_target(value)) {
				exit_cr(instruction.length, number, kMovToCr, operand);
				return;
			}
			done = cpu_.facts.valid_physical(value & ~bit(63));
			if (done)
				guest_.cr3 = value & ~bit(63);
			break;
		default:
			exit_cr(instruction.length, number, kMovToCr, operand);
			return;
		}
		if (done)
			skip(instruction.length);
		else
			general_protection();
	}

	void on_dr(unsigned number, bool write)
	{
		Instruction instruction;
		const bool decoded = decode(cpu_, instruction);
		const u64 operand = decoded ? u64(instruction.rm) << 8 : 0;

		guest_.rflags &= ~kFlagResume;
		exit({ .reason = kReasonMovDr, .qualification = number | (write ? 0 : bit(4)) | operand,
		       .length = decoded ? instruction.length : u32{3} });
	}

	// I/O.  SDM Vol. 3D, tables 28-5 and 28-8.
	void on_io()
	{
		const u64 info = guest_.exit_info_1;
		const u64 port = info >> 16 & 0xffff;
		const u64 bytes = info >> 4 & 7;
		const bool input = info & kIoInput;
		Instruction instruction;

		const bool decoded = decode(cpu_, instruction);
		const u32 length = decoded ? u32(instruction.length) : u32(guest_.exit_info_2 - guest_.rip);
		const bool string = decoded && instruction.opcode[0] >= 0x6c && instruction.opcode[0] <= 0x6f;
		const bool immediate = decoded && instruction.opcode[0] >= 0xe4 && instruction.opcode[0] <= 0xe7;
		Exit exit{ .reason = kReasonIo, .length = length };
		exit.qualification = (bytes - 1) | (input ? bit(3) : 0) | port << 16;
		if (immediate)
			exit.qualification |= bit(6);
		if (string) {
			exit.qualification |= bit(4);
			if (instruction.repeat || instruction.repeat_not_equal)
				exit.qualification |= bit(5);
			const Segment segment = input ? kEs : instruction.segment;
			u64 offset = cpu_.general_register(input ? kRdi : kRsi);
			if (instruction.address_bytes < 8)
				offset &= instruction.address_bytes == 2 ? 0xffff : 0xffffffff;
			exit.guest_linear = segment_base(cpu_, segment) + offset;
			if (!cpu_.code_64())
				exit.guest_linear = low_half(exit.guest_linear);
			exit.instruction_info = (instruction.address_bytes / 4) << 7;
			if (!input)
				exit.instruction_info |= u32(segment) << 15;
		}
		guest_.rflags &= ~kFlagResume;
		exit_to_host(cpu_, exit);
	}

	// MSRs.  SDM Vol. 3C, section 25.6.9.
	bool msr_exits(u32 msr, bool write)
	{
		constexpr u64 kHighMap = 1024, kWriteMap = 2048;
		u64 at = write ? kWriteMap : 0;

		if (!(cpu_.proc_controls & kProcMsrBitmaps))
			return true;
		if (msr >= 0xc0000000 && msr <= 0xc0001fff)
			at += kHighMap;
		else if (msr > 0x1fff)
			return true;
		at += (msr & 0x1fff) / 8;
		return *static_cast<u8 *>(cpu_.memory(cpu_.read(Field::MsrBitmap) + at)) >> (msr & 7) & 1;
	}

	void on_msr()
	{
		const u32 msr = cpu_.state.registers[kRcx];
		const bool write = guest_.exit_info_1 & 1;
		Instruction instruction;
		const unsigned length = decode(cpu_, instruction) ? instruction.length : 2;

		if (msr_exits(msr, write)) {
			guest_.rflags &= ~kFlagResume;
			exit({ .reason = write ? kReasonWrmsr : kReasonRdmsr, .length = length });
			return;
		}
		u64 value = low_half(guest_.rax) | cpu_.state.registers[kRdx] << 32;
		if (write ? !write_msr(cpu_, msr, value) : !read_msr(cpu_, msr, value)) {
			general_protection();
			return;
		}
		if (!write) {
			guest_.rax = low_half(value);
			cpu_.state.registers[kRdx] = value >> 32;
		}
		skip(length);
	}

	void return_tsc(unsigned length)
	{
		const u64 tsc = rdtsc() + guest_.tsc_offset;
		guest_.rax = low_half(tsc);
		cpu_.state.registers[kRdx] = tsc >> 32;
		skip(length);
	}

	void on_rdtsc()
	{
		Instruction instruction;
		const bool decoded = decode(cpu_, instruction);

		if (decoded && instruction.is(0x0f, 0x01))
			on_rdtscp();
		else if (cpu_.proc_controls & kProcRdtscExiting)
			exit_instruction(kReasonRdtsc, 2);
		else
			return_tsc(decoded ? instruction.length : 2);
	}

	void on_rdtscp()
	{
		Instruction instruction;
		const unsigned length = decode(cpu_, instruction) ? instruction.length : 3;

		if (!(cpu_.proc2_controls & kProc2Rdtscp)) {
			undefined_opcode();
			return;
		}
		if ((guest_.cr4 & kCr4TimeStampDisable) && cpu_.privilege_level()) {
			general_protection();
			return;
		}
		if (cpu_.proc_controls & kProcRdtscExiting) {
			guest_.rflags &= ~kFlagResume;
			exit({ .reason = kReasonRdtscp, .length = length });
			return;
		}
		cpu_.state.registers[kRcx] = low_half(rdmsr(kMsrTscAux));
		return_tsc(length);
	}

	void on_cache_invalidation()
	{
		Instruction instruction;
		const bool decoded = decode(cpu_, instruction);

		if (decoded && instruction.is(0x0f, 0x08))
			exit_instruction(kReasonInvd, 2);
		else if (cpu_.proc2_controls & kProc2WbinvdExiting)
			exit_instruction(kReasonWbinvd, 2);
		else
			skip(decoded ? instruction.length : 2);
	}

	void on_invlpg()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("guest: cannot decode INVLPG", guest_.exit_code, guest_.rip);
		guest_.rflags &= ~kFlagResume;
		exit({ .reason = kReasonInvlpg, .qualification = linear_address(cpu_, instruction),
		       .length = instruction.length });
	}

	// Nested paging.  SDM Vol. 3D, table 28-7.
	void on_nested_page_fault()
	{
		constexpr u64 kLinearValid = bit(7), kFinalAccess = bit(8), kNmiUnblocking = bit(12);
		const u64 address = guest_.exit_info_2;
		const u64 fault = guest_.exit_info_1;
		u64 needed = kEptRead;
		if (fault & kNestedFaultFetch)
			needed = kEptExecute;
		else if (fault & kNestedFaultWrite)
			needed = kEptWrite;
		const EptTranslation translation = ept_translate(cpu_, address);

		++cpu_.statistics.nested_faults;
		if (translation.outcome == EptTranslation::Mapped && (translation.rights & needed)) {
			map_nested_page(cpu_, address, translation);
			return;
		}
		cpu_.write(Field::GuestPhysicalAddress, address);
		if (translation.outcome == EptTranslation::Misconfiguration) {
			exit({ .reason = kReasonEptMisconfiguration });
			return;
		}
		Exit exit{ .reason = kReasonEptViolation };
		exit.qualification = needed | translation.rights << 3;
		const u64 code = code_address(cpu_, guest_.rip);
		if ((fault & kNestedFaultFetch) && !(fault & kNestedFaultPageTable)) {
			// A fetch is from the page of RIP, or from the next one.
			exit.qualification |= kLinearValid | kFinalAccess;
			exit.guest_linear = code;
			if ((code ^ address) & ~kPageMask)
				exit.guest_linear = (code & kPageMask) + kPageBytes;
		} else if (!(fault & kNestedFaultPageTable)) {
			// A CPU would set bit 7, too, but the linear address is not known here.  KVM of Linux 6.1 looks
			// at this bit alone, and without it takes a store for one to the guest's page tables.
			exit.qualification |= kFinalAccess;
		}
		if (cpu_.iret_unblocked)
			exit.qualification |= kNmiUnblocking;
		if (!(cpu_.delivery.info & kInfoValid))
			guest_.rflags |= kFlagResume;
		exit_to_host(cpu_, exit);
	}

	void on_interrupt()
	{
		// The window comes before the interrupt.  SDM Vol. 3C, section 26.2.
		if ((cpu_.proc_controls & kProcInterruptWindowExiting) && (guest_.rflags & kFlagInterrupt) &&
				!cpu_.shadow) {
			exit({ .reason = kReasonInterruptWindow });
			return;
		}
		Exit exit{ .reason = kReasonExternalInterrupt };
		if (cpu_.exit_controls & kExitAcknowledgeInterrupt) {
			const u64 vector = acknowledge_interrupt(cpu_);
			if (vector != kNoVector)
				exit.interruption = interruption_info(vector, kTypeExternalInterrupt);
		}
		exit_to_host(cpu_, exit);
	}

	void on_nmi()
	{
		if (cpu_.window_by_nmi) {
			exit({ .reason = kReasonNmiWindow });
			return;
		}
		take_nmi(cpu_);
		exit({ .reason = kReasonException, .interruption = interruption_info(kNmi, kTypeNmi) });
	}

	// With NMIs blocked: the IRET ends that.
	void on_iret()
	{
		cpu_.nmi_blocked = false;
		cpu_.iret_unblocked = true;
		cpu_.iret_rip = guest_.rip;
		if (cpu_.proc_controls & kProcNmiWindowExiting)
			cpu_.step = Step::Iret;
	}

	void dispatch(u32 code)
	{
		switch (code) {
		case kExitReadCr ... kExitReadCr + 15:
			on_cr_read(code - kExitReadCr);
			break;
		case kExitWriteCr ... kExitWriteCr + 15:
			on_cr_write(code - kExitWriteCr);
			break;
		case kExitReadDr ... kExitReadDr + 15:
			on_dr(code - kExitReadDr, false);
			break;
		case kExitWriteDr ... kExitWriteDr + 15:
			on_dr(code - kExitWriteDr, true);
			break;
		case kExitException ... kExitException + 31:
			on_exception(code - kExitException);
			break;
		case kExitInterrupt:
			on_interrupt();
			break;
		case kExitNmi:
			on_nmi();
			break;
		case kExitVirtualInterrupt:
			exit({ .reason = kReasonInterruptWindow });
			break;
		case kExitShutdown:
			exit({ .reason = kReasonTripleFault });
			break;
		case kExitSoftwareInterrupt:
			on_software_interrupt();
			break;
		case kExitIcebp:
			on_icebp();
			break;
		case kExitIret:
			on_iret();
			break;
		case kExitCpuid:
			exit_instruction(kReasonCpuid, 2);
			break;
		case kExitHlt:
			exit_instruction(kReasonHlt, 1);
			break;
		case kExitRdtsc:
			on_rdtsc();
			break;
		case kExitRdtscp:
			on_rdtscp();
			break;
		case kExitRdpmc:
			exit_instruction(kReasonRdpmc, 2);
			break;
		case kExitPause:
			exit_instruction(kReasonPause, 2);
			break;
		case kExitMwait:
			exit_instruction(kReasonMwait, 3);
			break;
		case kExitMonitor:
			exit_instruction(kReasonMonitor, 3);
			break;
		case kExitXsetbv:
			exit_instruction(kReasonXsetbv, 3);
			break;
		case kExitInvd:
		case kExitWbinvd:
			on_cache_invalidation();
			break;
		case kExitInvlpg:
			on_invlpg();
			break;
		case kExitIo:
			on_io();
			break;
		case kExitMsr:
			on_msr();
			break;
		case kExitNestedPageFault:
			on_nested_page_fault();
			break;
		case kExitVmrun:
		case kExitVmmcall:
		case kExitVmload:
		case kExitVmsave:
		case kExitStgi:
		case kExitClgi:
		case kExitSkinit:
		case kExitInvlpga:
			undefined_opcode();
			break;
		case kExitInvalid:
			fatal("guest: VMRUN refuses the state", guest_.cr0, guest_.rip);
		default:
			fatal("guest: unexpected exit", code, guest_.rip);
		}
	}

	Cpu &cpu_;
	Vmcb &guest_;
};

} // namespace

#endif
