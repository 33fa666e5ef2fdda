// SPDX-License-Identifier: GPL-2.0
// The instruction decoder: SVM as QEMU emulates it gives neither lengths nor operands.  It knows the instructions that
// cause exits, in all modes.  SDM Vol. 2A, chapter 2.
#ifndef VMX_ON_SVM_DECODE_H
#define VMX_ON_SVM_DECODE_H

#include "guest_memory.h"

namespace {

constexpr unsigned kMaximumInstruction = 15;
constexpr unsigned kNoRegister = 0xff;

struct Instruction {
	u8 length;
	u8 opcode[3];
	u8 opcode_bytes;
	bool operand_size_prefix;  // 66
	bool repeat;               // F3
	bool repeat_not_equal;     // F2
	bool lock;
	u8 rex;
	bool has_modrm;
	bool memory_operand;
	u8 reg;            // ModRM.reg with REX.R
	u8 rm;             // the register operand with REX.B, unless memory_operand
	u8 address_bytes;  // 2, 4 or 8
	Segment segment;   // of the memory operand, or of a string source
	bool segment_override;
	u8 base, index;  // kNoRegister if absent
	u8 scale;
	s64 displacement;
	s64 immediate;
	bool rip_relative;

	bool is(u8 first) const { return opcode_bytes == 1 && opcode[0] == first; }
	bool is(u8 first, u8 second) const { return opcode_bytes == 2 && opcode[0] == first && opcode[1] == second; }
	bool is(u8 first, u8 second, u8 third) const
	{
		return opcode_bytes == 3 && opcode[0] == first && opcode[1] == second && opcode[2] == third;
	}
	bool any_prefix() const { return operand_size_prefix || repeat || repeat_not_equal || lock; }
	unsigned group() const { return reg & 7; }
};

inline u64 code_address(Cpu& cpu, u64 rip) { return cpu.code_64() ? rip : low_half(cpu.vmcb().cs.base + rip); }

// The base of a segment in use.  Those of FS and GS are in the CPU, not in the control block.
inline u64 segment_base(Cpu& cpu, Segment segment)
{
	Vmcb& vmcb = cpu.vmcb();
	switch (segment) {
	case kFs:
		return rdmsr(kMsrFsBase);
	case kGs:
		return rdmsr(kMsrGsBase);
	case kEs:
		return cpu.code_64() ? 0 : vmcb.es.base;
	case kCs:
		return cpu.code_64() ? 0 : vmcb.cs.base;
	case kSs:
		return cpu.code_64() ? 0 : vmcb.ss.base;
	default:
		return cpu.code_64() ? 0 : vmcb.ds.base;
	}
}

class Decoder {
 public:
	Decoder(Cpu& cpu, Instruction& result) : cpu_(cpu), result_(result) {}

	// False if the code cannot be read or is longer than an instruction may be.
	bool decode()
	{
		result_ = {};
		result_.base = result_.index = kNoRegister;
		result_.segment = kDs;
		if (!fetch())
			return false;
		prefixes();
		opcode();
		if (has_modrm()) {
			result_.has_modrm = true;
			modrm();
		}
		result_.immediate = next_signed(immediate_bytes());
		result_.length = at_;
		return at_ <= available_;
	}

 private:
	bool fetch()
	{
		const u64 address = code_address(cpu_, cpu_.vmcb().rip);
		const unsigned in_page = kPageBytes - (address & ~kPageMask);
		available_ = kMaximumInstruction;
		if (in_page >= sizeof(code_)) {
			u64 host_physical;
			if (!translate_code(cpu_, address, host_physical))
				return false;
			__builtin_memcpy(code_, cpu_.memory(host_physical), sizeof(code_));
			return true;
		}
		if (in_page < available_ && !peek(cpu_, address + in_page, code_ + in_page, available_ - in_page))
			available_ = in_page;
		return peek(cpu_, address, code_, in_page < available_ ? in_page : available_);
	}

	u8 next() { return at_ < sizeof(code_) ? code_[at_++] : 0; }

	s64 next_signed(unsigned bytes)
	{
		u64 value = 0;
		if (!bytes)
			return 0;
		for (unsigned i = 0; i < bytes; ++i)
			value |= u64{next()} << 8 * i;
		const unsigned unused = 64 - 8 * bytes;
		return static_cast<s64>(value << unused) >> unused;
	}

	void override_segment(Segment segment)
	{
		result_.segment = segment;
		result_.segment_override = true;
	}

	void prefixes()
	{
		const bool code_64 = cpu_.code_64();
		const bool big = cpu_.vmcb().cs.attributes & kAttributeDefaultBig;
		bool address_size_prefix = false;

		for (bool more = true; more && at_ < kMaximumInstruction;) {
			const u8 prefix = next();
			switch (prefix) {
			case 0x66:
				result_.operand_size_prefix = true;
				break;
			case 0x67:
				address_size_prefix = true;
				break;
			case 0xf0:
				result_.lock = true;
				break;
			case 0xf2:
				result_.repeat_not_equal = true;
				result_.repeat = false;
				break;
			case 0xf3:
				result_.repeat = true;
				result_.repeat_not_equal = false;
				break;
			case 0x26:
				override_segment(kEs);
				break;
			case 0x2e:
				override_segment(kCs);
				break;
			case 0x36:
				override_segment(kSs);
				break;
			case 0x3e:
				override_segment(kDs);
				break;
			case 0x64:
				override_segment(kFs);
				break;
			case 0x65:
				override_segment(kGs);
				break;
			default:
				--at_;
				more = false;
			}
		}
		if (code_64 && (code_[at_] & 0xf0) == 0x40)
			result_.rex = next();
		if (code_64)
			result_.address_bytes = address_size_prefix ? 4 : 8;
		else
			result_.address_bytes = big != address_size_prefix ? 4 : 2;
	}

	void opcode()
	{
		result_.opcode[0] = next();
		result_.opcode_bytes = 1;
		if (result_.opcode[0] != 0x0f)
			return;
		result_.opcode[1] = next();
		result_.opcode_bytes = 2;
		if (result_.opcode[1] != 0x38)
			return;
		result_.opcode[2] = next();
		result_.opcode_bytes = 3;
	}

	// SDM Vol. 2D, tables.
	bool has_modrm() const
	{
		const u8 code = result_.opcode[result_.opcode_bytes - 1];
		if (result_.opcode_bytes == 3)
			return true;
		if (result_.opcode_bytes == 1) {
			if (code < 0x40)
				return (code & 7) < 4;
			switch (code) {
			case 0x63:
			case 0x69:
			case 0x6b:
			case 0x80 ... 0x8f:
			case 0xc0:
			case 0xc1:
			case 0xc6:
			case 0xc7:
			case 0xd0 ... 0xd3:
			case 0xd8 ... 0xdf:
			case 0xf6:
			case 0xf7:
			case 0xfe:
			case 0xff:
				return true;
			default:
				return false;
			}
		}
		switch (code) {
		case 0x05 ... 0x09:
		case 0x0b:
		case 0x0e:
		case 0x30 ... 0x37:
		case 0x77:
		case 0x80 ... 0x8f:
		case 0xa0 ... 0xa2:
		case 0xa8 ... 0xaa:
		case 0xc8 ... 0xcf:
			return false;
		default:
			return true;
		}
	}

	unsigned immediate_bytes() const
	{
		const u8 code = result_.opcode[result_.opcode_bytes - 1];
		const bool first_two = (result_.reg & 6) == 0;  // TEST, of group 3
		if (result_.opcode_bytes == 3)
			return 0;
		if (result_.opcode_bytes == 2) {
			switch (code) {
			case 0x70 ... 0x73:
			case 0xa4:
			case 0xac:
			case 0xba:
			case 0xc2:
			case 0xc4 ... 0xc6:
				return 1;
			default:
				return 0;
			}
		}
		switch (code) {
		case 0x6b:
		case 0x80:
		case 0x82:
		case 0x83:
		case 0xc0:
		case 0xc1:
		case 0xc6:
		case 0xcd:
		case 0xe4 ... 0xe7:
			return 1;
		case 0xf6:
			return first_two ? 1 : 0;
		case 0x69:
		case 0x81:
		case 0xc7:
			return operand_bytes() == 2 ? 2 : 4;
		case 0xf7:
			return first_two ? (operand_bytes() == 2 ? 2 : 4) : 0;
		case 0xa0 ... 0xa3:
			return result_.address_bytes;
		default:
			return 0;
		}
	}

	// Without REX.W.
	unsigned operand_bytes() const
	{
		const bool big = cpu_.code_64() || (cpu_.vmcb().cs.attributes & kAttributeDefaultBig);
		return big != result_.operand_size_prefix ? 4 : 2;
	}

	void modrm()
	{
		const u8 byte = next();
		const unsigned mod = byte >> 6;
		const unsigned rm = byte & 7;
		// MOV to and from control and debug registers ignores mod.
		const bool register_form = result_.opcode_bytes == 2 && (result_.opcode[1] & 0xfc) == 0x20;

		result_.reg = (byte >> 3 & 7) | (result_.rex & 4) << 1;
		if (mod == 3 || register_form) {
			result_.rm = rm | (result_.rex & 1) << 3;
			return;
		}
		result_.memory_operand = true;
		if (result_.address_bytes == 2)
			memory_16(mod, rm);
		else
			memory_32(mod, rm);
		const bool by_stack = result_.base == kRsp || result_.base == kRbp;
		if (!result_.segment_override && by_stack)
			result_.segment = kSs;
	}

	void memory_16(unsigned mod, unsigned rm)
	{
		static constexpr u8 kBase[] = {kRbx, kRbx, kRbp, kRbp, kRsi, kRdi, kRbp, kRbx};
		static constexpr u8 kIndex[] = {
			kRsi, kRdi, kRsi, kRdi, kNoRegister, kNoRegister, kNoRegister, kNoRegister,
		};
		if (mod == 0 && rm == 6) {
			result_.displacement = next_signed(2);
			return;
		}
		result_.base = kBase[rm];
		result_.index = kIndex[rm];
		result_.displacement = next_signed(mod == 1 ? 1 : mod == 2 ? 2 : 0);
	}

	void memory_32(unsigned mod, unsigned rm)
	{
		unsigned base = rm;
		if (rm == 4) {
			const u8 sib = next();
			const unsigned index = (sib >> 3 & 7) | (result_.rex & 2) << 2;
			base = sib & 7;
			result_.scale = sib >> 6;
			if (index != 4)
				result_.index = index;
		}
		if (mod == 0 && base == 5) {
			result_.rip_relative = rm == 5 && cpu_.code_64();
			result_.displacement = next_signed(4);
			return;
		}
		result_.base = base | (result_.rex & 1) << 3;
		result_.displacement = next_signed(mod == 1 ? 1 : mod == 2 ? 4 : 0);
	}

	Cpu& cpu_;
	Instruction& result_;
	u8 code_[16] = {};
	unsigned available_ = 0;
	unsigned at_ = 0;
};

// Decodes at RIP.
inline bool decode(Cpu& cpu, Instruction& instruction) { return Decoder(cpu, instruction).decode(); }

// The displacement as instruction-information exits report it: relative to RIP it is the address itself.
inline u64 reported_displacement(Cpu& cpu, const Instruction& instruction)
{
	u64 displacement = instruction.displacement;
	if (instruction.rip_relative)
		displacement += cpu.vmcb().rip + instruction.length;
	return displacement;
}

inline u64 effective_address(Cpu& cpu, const Instruction& instruction)
{
	u64 address = reported_displacement(cpu, instruction);
	if (instruction.base != kNoRegister)
		address += cpu.general_register(instruction.base);
	if (instruction.index != kNoRegister)
		address += cpu.general_register(instruction.index) << instruction.scale;
	if (instruction.address_bytes == 2)
		address &= 0xffff;
	else if (instruction.address_bytes == 4)
		address = low_half(address);
	return address;
}

inline u64 linear_address(Cpu& cpu, const Instruction& instruction)
{
	const u64 address = segment_base(cpu, instruction.segment) + effective_address(cpu, instruction);
	return cpu.code_64() ? address : low_half(address);
}

}  // namespace

#endif
