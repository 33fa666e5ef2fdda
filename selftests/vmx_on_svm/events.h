// SPDX-License-Identifier: GPL-2.0
// Events: raising exceptions, completing emulated instructions, interrupt shadows.
#ifndef VMX_ON_SVM_EVENTS_H
#define VMX_ON_SVM_EVENTS_H

#include "decode.h"
#include "msr.h"
#include "nmi.h"

namespace {

// Types of interruption information.  SDM Vol. 3C, table 25-18.
constexpr u32 kTypeExternalInterrupt = 0;
constexpr u32 kTypeReserved = 1;
constexpr u32 kTypeNmi = 2;
constexpr u32 kTypeHardwareException = 3;
constexpr u32 kTypeSoftwareInterrupt = 4;
constexpr u32 kTypePrivilegedSoftwareException = 5;
constexpr u32 kTypeSoftwareException = 6;
constexpr u32 kTypeOther = 7;

constexpr u32 kInfoErrorCode = bit(11);
constexpr u32 kInfoNmiUnblocking = bit(12);
constexpr u32 kInfoReserved = bits(12, 30);
constexpr u32 kInfoValid = bit(31);

constexpr u32 interruption_info(unsigned vector, u32 type, bool error_code = false)
{
	return vector | type << 8 | (error_code ? kInfoErrorCode : 0) | kInfoValid;
}

constexpr u32 info_type(u32 info) { return info >> 8 & 7; }

constexpr bool is_software(u32 type) { return type >= kTypeSoftwareInterrupt && type <= kTypeSoftwareException; }

// Interruptibility state.  SDM Vol. 3C, table 25-3.
constexpr u8 kBlockingBySti = bit(0);
constexpr u8 kBlockingByMovSs = bit(1);
constexpr u8 kBlockingByNmi = bit(3);

// Pending debug exceptions: those of DR6, and this bit if any breakpoint is enabled.  SDM Vol. 3C, table 25-4.
constexpr u64 kPendingEnabledBreakpoint = bit(12);

constexpr u64 debug_exceptions(u64 pending)
{
	return (pending & kDr6SingleStep) | (pending & kPendingEnabledBreakpoint ? pending & kDr6Breakpoints : 0);
}

// A #DB is delivered to the guest.  SDM Vol. 3B, section 18.2.3.
inline void set_reported(Cpu& cpu, u64 reported) { cpu.guest_dr6 = (cpu.guest_dr6 & ~kDr6Breakpoints) | reported; }

// Raised when the code that was running is resumed.
inline void inject_exception(Cpu& cpu, unsigned vector, u32 error = 0)
{
	Vmcb& vmcb = cpu.vmcb();
	vmcb.event = vector | kEventException | kEventValid | (has_error_code(vector) ? kEventErrorCode : 0);
	vmcb.event_error = error;
}

inline void inject_general_protection(Cpu& cpu) { inject_exception(cpu, kGeneralProtection, 0); }

inline void inject_page_fault(Cpu& cpu, const DataFault& fault)
{
	cpu.vmcb().cr2 = fault.address;
	inject_exception(cpu, kPageFault, fault.error);
}

// An emulated instruction is over: the trap flag and the resume flag have their effect.
inline void finish_instruction(Cpu& cpu, unsigned length)
{
	Vmcb& vmcb = cpu.vmcb();
	vmcb.rip += length;
	if (!cpu.code_64())
		vmcb.rip = low_half(vmcb.rip);
	vmcb.rflags &= ~kFlagResume;
	if (vmcb.rflags & kFlagTrap) {
		if (!cpu.in_guest)
			vmcb.dr6 |= kDr6SingleStep;
		inject_exception(cpu, kDebug);
	}
}

// IN or OUT, for the code that was running.
inline void carry_out_io(Cpu& cpu)
{
	Vmcb& vmcb = cpu.vmcb();
	const u64 info = vmcb.exit_info_1;
	const u16 port = info >> 16;
	const unsigned bytes = info >> 4 & 7;
	u64& rax = vmcb.rax;

	if (info & kIoInput) {
		const u32 value = bytes == 1 ? inb(port) : bytes == 2 ? inw(port) : inl(port);
		const u64 mask = bits(0, bytes * 8 - 1);
		rax = bytes == 4 ? value : (rax & ~mask) | value;
	} else if (bytes == 1) {
		outb(port, static_cast<u8>(rax));
	} else if (bytes == 2) {
		outw(port, static_cast<u16>(rax));
	} else {
		outl(port, static_cast<u32>(rax));
	}
}

// SVM has one interrupt shadow where VMX has two.  With RFLAGS.IF clear it cannot come from STI; otherwise the byte
// before RIP tells.
inline u8 shadow_kind(Cpu& cpu)
{
	const Vmcb& vmcb = cpu.vmcb();
	constexpr u8 kStiOpcode = 0xfb;
	u8 previous = 0;

	if (!(vmcb.interrupt_state & kInterruptShadow))
		return 0;
	if (!(vmcb.rflags & kFlagInterrupt))
		return kBlockingByMovSs;
	if (peek(cpu, code_address(cpu, vmcb.rip - 1), &previous, 1) && previous == kStiOpcode)
		return kBlockingBySti;
	return kBlockingByMovSs;
}

// QEMU leaves an SVM guest as if VMRUN had failed where MOV to CR3 raises #GP.
inline bool loads_invalid_cr3(Cpu& cpu)
{
	constexpr unsigned kCr3 = 3;
	Instruction instruction;
	return decode(cpu, instruction) && instruction.is(0x0f, 0x22) && instruction.reg == kCr3 && cpu.long_mode() &&
	       !cpu.facts.valid_physical(cpu.general_register(instruction.rm));
}

// A memory operand of the code that runs.  On failure the exception is injected.
[[nodiscard]] inline bool access_operand(Cpu& cpu, const Instruction& instruction, void* buffer, unsigned count,
					 DataAccess access)
{
	const u64 address = linear_address(cpu, instruction);
	DataFault fault;

	if (cpu.code_64() && (!cpu.canonical(address) || !cpu.canonical(address + count - 1))) {
		inject_exception(cpu, instruction.segment == kSs ? kStackFault : kGeneralProtection, 0);
		return false;
	}
	if (access_data(cpu, address, buffer, count, access, fault))
		return true;
	inject_page_fault(cpu, fault);
	return false;
}

}  // namespace

#endif
