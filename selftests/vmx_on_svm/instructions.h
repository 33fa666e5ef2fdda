// SPDX-License-Identifier: GPL-2.0
// The VMX instructions in VMX root operation and outside VMX operation.  SDM Vol. 3C, chapter 31.
#ifndef VMX_ON_SVM_INSTRUCTIONS_H
#define VMX_ON_SVM_INSTRUCTIONS_H

#include "classify.h"
#include "entry.h"

namespace {

// VM-instruction errors.  SDM Vol. 3C, section 31.4.
enum class VmxError : u32 {
	VmcallInRoot = 1,
	VmclearInvalidAddress = 2,
	VmclearVmxonPointer = 3,
	VmlaunchNotClear = 4,
	VmresumeNotLaunched = 5,
	InvalidControls = 7,
	InvalidHostState = 8,
	VmptrldInvalidAddress = 9,
	VmptrldVmxonPointer = 10,
	VmptrldWrongRevision = 11,
	UnsupportedField = 12,
	ReadOnlyField = 13,
	VmxonInRoot = 15,
	BlockedByMovSs = 26,
	InvalidInvalidation = 28,
};

class VmxInstructionEmulation {
 public:
	explicit VmxInstructionEmulation(Cpu& cpu) : cpu_(cpu) {}

	// The instruction at RIP raised #UD.  False if that is what VMX software must see.
	bool emulate()
	{
		if (!decode(cpu_, instruction_))
			return false;
		const VmxInstruction kind = classify(instruction_);
		if (kind == VmxInstruction::None || !available(kind))
			return false;
		++cpu_.statistics.vmx_instructions;
		if (cpu_.privilege_level()) {
			inject_general_protection(cpu_);
			return true;
		}
		execute(kind);
		return true;
	}

 private:
	enum class Outcome {
		Done,     // flags are set
		Faulted,  // an exception is injected
		Entered,  // VMX non-root operation, or a failed entry that has loaded the host state
	};

	bool available(VmxInstruction kind)
	{
		const Vmcb& vmcb = cpu_.root_vmcb;
		if (!(vmcb.cr0 & kCr0ProtectionEnable) || (vmcb.rflags & kFlagVirtual8086) || !cpu_.code_64() ||
		    !cpu_.vmxe)
			return false;
		return cpu_.vmxon || kind == VmxInstruction::Vmxon;
	}

	void execute(VmxInstruction kind)
	{
		Outcome outcome = Outcome::Done;
		switch (kind) {
		case VmxInstruction::Vmxon:
			outcome = vmxon();
			break;
		case VmxInstruction::Vmxoff:
			outcome = vmxoff();
			break;
		case VmxInstruction::Vmclear:
			outcome = vmclear();
			break;
		case VmxInstruction::Vmptrld:
			outcome = vmptrld();
			break;
		case VmxInstruction::Vmptrst:
			outcome = vmptrst();
			break;
		case VmxInstruction::Vmread:
			outcome = vmread();
			break;
		case VmxInstruction::Vmwrite:
			outcome = vmwrite();
			break;
		case VmxInstruction::Vmlaunch:
			outcome = enter(false);
			break;
		case VmxInstruction::Vmresume:
			outcome = enter(true);
			break;
		case VmxInstruction::Invept:
			outcome = invept();
			break;
		case VmxInstruction::Invvpid:
			outcome = invvpid();
			break;
		default:
			outcome = fail(VmxError::VmcallInRoot);
		}
		if (outcome == Outcome::Done)
			finish_instruction(cpu_, instruction_.length);
	}

	// SDM Vol. 3C, section 31.2.
	void set_flags(u64 flags)
	{
		constexpr u64 kArithmetic = kFlagCarry | kFlagParity | kFlagAdjust | kFlagZero | kFlagSign |
					    kFlagOverflow;
		u64& rflags = cpu_.root_vmcb.rflags;
		rflags = (rflags & ~kArithmetic) | flags;
	}

	Outcome succeed()
	{
		set_flags(0);
		return Outcome::Done;
	}

	Outcome fail_invalid()
	{
		set_flags(kFlagCarry);
		return Outcome::Done;
	}

	// VMfailValid if there is a current VMCS, else VMfailInvalid.
	Outcome fail(VmxError error)
	{
		if (cpu_.current_vmcs == kNoVmcs)
			return fail_invalid();
		cpu_.write(Field::InstructionError, static_cast<u32>(error));
		set_flags(kFlagZero);
		return Outcome::Done;
	}

	bool read_operand(void* value, unsigned bytes)
	{
		return access_operand(cpu_, instruction_, value, bytes, DataAccess::Read);
	}

	bool valid_region(u64 address) const { return !(address & ~kPageMask) && cpu_.facts.valid_physical(address); }
	VmcsRegion& region(u64 address) { return *static_cast<VmcsRegion*>(cpu_.memory(address)); }

	Outcome vmxon()
	{
		u64 address;

		if (cpu_.vmxon)
			return fail(VmxError::VmxonInRoot);
		constexpr u64 kEnabled = kFeatureControlLocked | kFeatureControlVmxOutsideSmx;
		const bool fixed_bits = !(kCr0Fixed0 & ~cpu_.root_vmcb.cr0);
		if (!fixed_bits || (cpu_.feature_control & kEnabled) != kEnabled) {
			inject_general_protection(cpu_);
			return Outcome::Faulted;
		}
		if (!read_operand(&address, sizeof(address)))
			return Outcome::Faulted;
		if (!valid_region(address) || region(address).revision != kVmcsRevision ||
		    g_parameters.vmxon_fails_on == cpu_.apic_id)
			return fail_invalid();
		cpu_.vmxon = true;
		cpu_.vmxon_pointer = address;
		cpu_.current_vmcs = kNoVmcs;
		return succeed();
	}

	Outcome vmxoff()
	{
		cpu_.vmxon = false;
		cpu_.current_vmcs = kNoVmcs;
		if (cpu_.init_pending && cpu_.boot_cpu) {
			send_nmi_to_self(cpu_);
		} else if (take_init(cpu_)) {
			// This CPU stops here.
			finish_instruction(cpu_, instruction_.length);
			send_init(cpu_);
		}
		return succeed();
	}

	Outcome vmclear()
	{
		u64 address;
		if (!read_operand(&address, sizeof(address)))
			return Outcome::Faulted;
		if (!valid_region(address))
			return fail(VmxError::VmclearInvalidAddress);
		if (address == cpu_.vmxon_pointer)
			return fail(VmxError::VmclearVmxonPointer);
		region(address).launched = 0;
		if (address == cpu_.current_vmcs)
			cpu_.current_vmcs = kNoVmcs;
		return succeed();
	}

	Outcome vmptrld()
	{
		u64 address;
		if (!read_operand(&address, sizeof(address)))
			return Outcome::Faulted;
		if (!valid_region(address))
			return fail(VmxError::VmptrldInvalidAddress);
		if (address == cpu_.vmxon_pointer)
			return fail(VmxError::VmptrldVmxonPointer);
		if (region(address).revision != kVmcsRevision)
			return fail(VmxError::VmptrldWrongRevision);
		cpu_.current_vmcs = address;
		return succeed();
	}

	Outcome vmptrst()
	{
		u64 address = cpu_.current_vmcs;
		if (!access_operand(cpu_, instruction_, &address, sizeof(address), DataAccess::Write))
			return Outcome::Faulted;
		return succeed();
	}

	Outcome vmread()
	{
		const u64 encoding = cpu_.general_register(instruction_.reg);
		if (cpu_.current_vmcs == kNoVmcs)
			return fail_invalid();
		const u8 slot = kSlots.find(encoding);
		if (slot == kNoSlot)
			return fail(VmxError::UnsupportedField);
		u64 value = cpu_.vmcs().slot[slot];
		if (FieldEncoding(encoding).high_access())
			value >>= 32;
		if (!instruction_.memory_operand)
			cpu_.set_general_register(instruction_.rm, value);
		else if (!access_operand(cpu_, instruction_, &value, sizeof(value), DataAccess::Write))
			return Outcome::Faulted;
		return succeed();
	}

	Outcome vmwrite()
	{
		const u64 encoding = cpu_.general_register(instruction_.reg);
		u64 value;
		if (cpu_.current_vmcs == kNoVmcs)
			return fail_invalid();
		if (!instruction_.memory_operand)
			value = cpu_.general_register(instruction_.rm);
		else if (!read_operand(&value, sizeof(value)))
			return Outcome::Faulted;
		const u8 slot = kSlots.find(encoding);
		if (slot == kNoSlot)
			return fail(VmxError::UnsupportedField);
		const FieldEncoding field(encoding);
		if (field.type() == FieldType::ExitInformation && !(cpu_.misc & kMiscVmwriteAnyField))
			return fail(VmxError::ReadOnlyField);
		u64& stored = cpu_.vmcs().slot[slot];
		switch (field.width()) {
		case FieldWidth::Bits16:
			stored = value & 0xffff;
			break;
		case FieldWidth::Bits32:
			stored = low_half(value);
			break;
		default:
			stored = field.high_access() ? low_half(stored) | value << 32 : value;
		}
		return succeed();
	}

	// The order of the checks: SDM Vol. 3C, section 27.1 and VMLAUNCH/VMRESUME in section 31.3.
	Outcome enter(bool resume)
	{
		if (cpu_.current_vmcs == kNoVmcs)
			return fail_invalid();
		if (shadow_kind(cpu_) == kBlockingByMovSs)
			return fail(VmxError::BlockedByMovSs);
		if (!resume && cpu_.vmcs().launched)
			return fail(VmxError::VmlaunchNotClear);
		if (resume && !cpu_.vmcs().launched)
			return fail(VmxError::VmresumeNotLaunched);
		read_controls(cpu_);
		const EntryChecks checks(cpu_);
		if (!checks.controls())
			return fail(VmxError::InvalidControls);
		if (!checks.host_state())
			return fail(VmxError::InvalidHostState);
		enter_guest(cpu_);
		return Outcome::Entered;
	}

	struct InvalidationDescriptor {
		u64 first;
		u64 second;
	};
	static_assert(sizeof(InvalidationDescriptor) == 16);

	Outcome invept()
	{
		constexpr u64 kSingleContext = 1, kAllContexts = 2;
		const u64 type = cpu_.general_register(instruction_.reg);
		InvalidationDescriptor descriptor;

		if (!read_operand(&descriptor, sizeof(descriptor)))
			return Outcome::Faulted;
		if (type != kSingleContext && type != kAllContexts)
			return fail(VmxError::InvalidInvalidation);
		if (type == kSingleContext && !valid_ept_pointer(cpu_.facts, descriptor.first))
			return fail(VmxError::InvalidInvalidation);
		const bool same_tables = !((descriptor.first ^ cpu_.ept_pointer) & kEntryAddress);
		if (type == kAllContexts || same_tables)
			flush_nested_pages(cpu_);
		return succeed();
	}

	// Each VMRUN flushes what INVVPID would.
	Outcome invvpid()
	{
		constexpr u64 kIndividualAddress = 0, kAllContexts = 2, kLastType = 3;
		const u64 type = cpu_.general_register(instruction_.reg);
		InvalidationDescriptor descriptor;

		if (!read_operand(&descriptor, sizeof(descriptor)))
			return Outcome::Faulted;
		const bool reserved = descriptor.first & ~u64{0xffff};
		const bool no_vpid = type != kAllContexts && !descriptor.first;
		if (type > kLastType || reserved || no_vpid)
			return fail(VmxError::InvalidInvalidation);
		if (type == kIndividualAddress && !cpu_.facts.canonical(descriptor.second))
			return fail(VmxError::InvalidInvalidation);
		return succeed();
	}

	Cpu& cpu_;
	Instruction instruction_;
};

}  // namespace

#endif
