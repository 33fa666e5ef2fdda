// SPDX-License-Identifier: GPL-2.0
// Accesses to ports and MSRs, and instructions that read the time-stamp counter.
#ifndef VMX_ON_SVM_GUEST_IO_AND_MSRS_H
#define VMX_ON_SVM_GUEST_IO_AND_MSRS_H

#include "guest_events.h"

namespace {

class GuestIoAndMsrs : public GuestEvents {
 public:
	using GuestEvents::GuestEvents;

	// I/O.  SDM Vol. 3D, tables 28-5 and 28-8.
	void on_io()
	{
		const u64 info = guest_.exit_info_1;
		const u64 port = info >> 16 & 0xffff;
		const u64 bytes = info >> 4 & 7;
		const bool input = info & kIoInput;
		Instruction instruction;

		if ((cpu_.proc_controls & kProcIoBitmaps) && !bitmaps_want(port, bytes)) {
			if (info & (kIoString | kIoRepeat)) {
				load_io_map(cpu_);
			} else {
				carry_out_io(cpu_);
				skip(static_cast<unsigned>(guest_.exit_info_2 - guest_.rip));
			}
			return;
		}
		const bool decoded = decode(cpu_, instruction);
		const u32 length = decoded ? u32(instruction.length) : u32(guest_.exit_info_2 - guest_.rip);
		const bool string = decoded && instruction.opcode[0] >= 0x6c && instruction.opcode[0] <= 0x6f;
		const bool immediate = decoded && instruction.opcode[0] >= 0xe4 && instruction.opcode[0] <= 0xe7;
		Exit exit{.reason = kReasonIo, .length = length};
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

	void on_msr()
	{
		const u32 msr = cpu_.state.registers[kRcx];
		const bool write = guest_.exit_info_1 & 1;
		Instruction instruction;
		const unsigned length = decode(cpu_, instruction) ? instruction.length : 2;

		if (msr_exits(msr, write)) {
			guest_.rflags &= ~kFlagResume;
			exit({.reason = write ? kReasonWrmsr : kReasonRdmsr, .length = length});
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

	void on_rdtsc()
	{
		Instruction instruction;
		const bool decoded = decode(cpu_, instruction);

		// It has expired before the instruction.
		if (preemption_timer_expired(cpu_)) {
			exit({.reason = kReasonPreemptionTimer});
			return;
		}

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

		if (preemption_timer_expired(cpu_)) {
			exit({.reason = kReasonPreemptionTimer});
			return;
		}
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
			exit({.reason = kReasonRdtscp, .length = length});
			return;
		}
		cpu_.state.registers[kRcx] = low_half(rdmsr(kMsrTscAux));
		return_tsc(length);
	}

 private:
	// SDM Vol. 3C, section 25.6.4.  An access that wraps around port FFFFH exits.
	bool bitmaps_want(u64 port, u64 bytes)
	{
		for (const u64 end = port + bytes; port < end; ++port) {
			if (port > 0xffff)
				return true;
			const u64 bitmap = cpu_.read(port < 0x8000 ? Field::IoBitmapA : Field::IoBitmapB);
			if (*static_cast<u8*>(cpu_.memory(bitmap + (port & 0x7fff) / 8)) >> (port & 7) & 1)
				return true;
		}
		return false;
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
		return *static_cast<u8*>(cpu_.memory(cpu_.read(Field::MsrBitmap) + at)) >> (msr & 7) & 1;
	}

	void return_tsc(unsigned length)
	{
		const u64 tsc = guest_tsc(cpu_, rdtsc());
		guest_.rax = low_half(tsc);
		cpu_.state.registers[kRdx] = tsc >> 32;
		skip(length);
	}
};

}  // namespace

#endif
