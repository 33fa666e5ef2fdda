// SPDX-License-Identifier: GPL-2.0
// Instructions that write to the local APIC's page, which nested paging write-protects.
#ifndef VMX_ON_SVM_APIC_WRITES_H
#define VMX_ON_SVM_APIC_WRITES_H

#include "events.h"

namespace {

class ApicWrite {
 public:
	explicit ApicWrite(Cpu& cpu) : cpu_(cpu) {}

	// The instruction at RIP writes to @offset.  Nothing is left to do but to finish it.  Returns its length, or 0 if a repeated
	// one goes on.
	unsigned execute(u64 offset)
	{
		if (!decode(cpu_, instruction_))
			fatal("cannot read an instruction that writes to the APIC", offset, cpu_.vmcb().rip);
		// Smaller accesses do nothing in QEMU's APIC, and no software uses them.  SDM Vol. 3A, section 11.4.1.
		const u8 code = instruction_.opcode[0];
		if (instruction_.opcode_bytes == 1 && ((code & 0xc7) == 0x01 || code == 0x81 || code == 0x83))
			return arithmetic(offset, code);
		switch (instruction_.opcode_bytes == 1 ? code : 0) {
		case 0x89:
			return write(offset, reg());
		case 0x87: {
			const u32 old = apic(offset);
			const unsigned length = write(offset, reg());
			cpu_.set_general_register(instruction_.reg, old);
			return length;
		}
		case 0xc7:
			return write(offset, instruction_.immediate);
		case 0xa3:
			return write(offset, cpu_.general_register(kRax));
		case 0xab:
			return store_string(offset);
		default:
			break;
		}
		if (instruction_.is(0x0f, 0xba) || instruction_.is(0x0f, 0xab) || instruction_.is(0x0f, 0xb3))
			return change_bit(offset);
		fatal("an instruction that is not known writes to the APIC", u32{code} << 8 | instruction_.opcode[1],
		      cpu_.vmcb().rip);
	}

 private:
	u32 reg() { return static_cast<u32>(cpu_.general_register(instruction_.reg)); }

	unsigned write(u64 offset, u64 value)
	{
		write_apic(cpu_, offset, static_cast<u32>(value));
		return instruction_.length;
	}

	static constexpr u64 kArithmeticFlags = kFlagCarry | kFlagParity | kFlagAdjust | kFlagZero | kFlagSign |
						kFlagOverflow;

	void set_flags(u64 flags, u64 which)
	{
		u64& rflags = cpu_.vmcb().rflags;
		rflags = (rflags & ~which) | (flags & which);
	}

	// ADD, OR, AND, SUB, XOR with memory as the destination.
	unsigned arithmetic(u64 offset, u8 code)
	{
		const bool immediate = code >= 0x80;
		const unsigned operation = immediate ? instruction_.group() : code >> 3;
		const u32 operand = immediate ? static_cast<u32>(instruction_.immediate) : reg();
		u32 value = apic(offset);
		u64 flags;

		switch (operation) {
		case 0:
			asm("addl %2, %0; pushfq; popq %1" : "+r"(value), "=r"(flags) : "r"(operand) : "cc");
			break;
		case 1:
			asm("orl %2, %0; pushfq; popq %1" : "+r"(value), "=r"(flags) : "r"(operand) : "cc");
			break;
		case 4:
			asm("andl %2, %0; pushfq; popq %1" : "+r"(value), "=r"(flags) : "r"(operand) : "cc");
			break;
		case 5:
			asm("subl %2, %0; pushfq; popq %1" : "+r"(value), "=r"(flags) : "r"(operand) : "cc");
			break;
		case 6:
			asm("xorl %2, %0; pushfq; popq %1" : "+r"(value), "=r"(flags) : "r"(operand) : "cc");
			break;
		default:
			fatal("ADC or SBB writes to the APIC", code, cpu_.vmcb().rip);
		}
		set_flags(flags, kArithmeticFlags);
		return write(offset, value);
	}

	// BTS, BTR and BTC.
	unsigned change_bit(u64 offset)
	{
		const bool immediate = instruction_.opcode[1] == 0xba;
		const u32 mask = 1u << ((immediate ? instruction_.immediate : reg()) & 31);
		const u32 value = apic(offset);
		const unsigned operation = immediate ? instruction_.group() : instruction_.opcode[1] == 0xab ? 5 : 6;

		set_flags(value & mask ? kFlagCarry : 0, kFlagCarry);
		return write(offset, operation == 5 ? value | mask : operation == 6 ? value & ~mask : value ^ mask);
	}

	unsigned store_string(u64 offset)
	{
		const u64 width = instruction_.address_bytes == 8   ? ~u64{0}
				  : instruction_.address_bytes == 4 ? 0xffffffff
								    : 0xffff;
		const bool repeat = instruction_.repeat || instruction_.repeat_not_equal;
		auto step = [&](unsigned number, s64 by) {
			const u64 old = cpu_.general_register(number);
			const u64 value = (old + by) & width;
			cpu_.set_general_register(number,
						  instruction_.address_bytes == 2 ? (old & ~width) | value : value);
			return value;
		};
		constexpr u64 kFlagDirection = bit(10);

		write_apic(cpu_, offset, static_cast<u32>(cpu_.general_register(kRax)));
		step(kRdi, cpu_.vmcb().rflags & kFlagDirection ? -4 : 4);
		return repeat && step(kRcx, -1) ? 0 : instruction_.length;
	}

	Cpu& cpu_;
	Instruction instruction_;
};

}  // namespace

#endif
