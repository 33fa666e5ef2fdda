// SPDX-License-Identifier: GPL-2.0
// Exits of Linux, which runs in SVM guest mode on everything it had before, but for what VMX needs.
#ifndef VMX_ON_SVM_LINUX_EXITS_H
#define VMX_ON_SVM_LINUX_EXITS_H

#include "instructions.h"

namespace {

constexpr u64 kLeaveRequest = 0x766f732d6c656176;  // in RAX at VMMCALL, with the Cpu in RBX
constexpr unsigned kVmmcallLength = 3;

class LinuxExit {
 public:
	explicit LinuxExit(Cpu& cpu) : cpu_(cpu), vmcb_(cpu.linux_vmcb) {}

	// True if Linux leaves SVM guest mode.
	bool handle()
	{
		const u32 code = vmcb_.exit_code;

		vmcb_.event = 0;
		switch (code) {
		case kExitCpuid:
			on_cpuid();
			return false;
		case kExitMsr:
			on_msr();
			return false;
		case kExitReadCr + 4:
			on_cr4_read();
			return false;
		case kExitWriteCr + 4:
			on_cr4_write();
			return false;
		case kExitException + u32{kInvalidOpcode}:
			if (!VmxInstructionEmulation(cpu_).emulate())
				inject_exception(cpu_, kInvalidOpcode);
			return false;
		case kExitVmmcall:
			if (vmcb_.rax == kLeaveRequest && cpu_.state.registers[kRbx] == reinterpret_cast<u64>(&cpu_) &&
			    !cpu_.privilege_level()) {
				leave();
				return true;
			}
			[[fallthrough]];
		case kExitVmrun:
		case kExitVmload:
		case kExitVmsave:
		case kExitStgi:
		case kExitClgi:
		case kExitSkinit:
		case kExitInvlpga:
			inject_exception(cpu_, kInvalidOpcode);
			return false;
		case kExitShutdown:
			// Linux reboots by triple fault, or dies of one.
			triple_fault();
		case kExitInvalid:
			fatal("Linux: VMRUN refuses the state", vmcb_.cr0, vmcb_.rip);
		default:
			fatal("Linux: unexpected exit", code, vmcb_.rip);
		}
	}

 private:
	unsigned length(unsigned fallback)
	{
		Instruction instruction;
		return decode(cpu_, instruction) ? instruction.length : fallback;
	}

	void on_cpuid()
	{
		constexpr u32 kFeatures = 1, kExtendedFeatures = 7, kAmdFeatures = 0x80000001,
			      kSvmFeatures = 0x8000000a;
		constexpr u32 kVmx = bit(5), kOsXsave = bit(27), kOsPke = bit(4), kSvm = bit(2);
		const u32 leaf = vmcb_.rax;
		CpuidResult result = cpuid(leaf, cpu_.state.registers[kRcx]);

		// The stub's CR4 is that of the launch.
		switch (leaf) {
		case kFeatures:
			result.ecx = (result.ecx & ~kOsXsave) | kVmx;
			if (vmcb_.cr4 & kCr4OsXsave)
				result.ecx |= kOsXsave;
			break;
		case kExtendedFeatures:
			result.ecx &= ~kOsPke;
			if (vmcb_.cr4 & kCr4Pke)
				result.ecx |= kOsPke;
			break;
		case kAmdFeatures:
			result.ecx &= ~kSvm;
			break;
		case kSvmFeatures:
			result = {};
			break;
		default:
			break;
		}
		vmcb_.rax = result.eax;
		cpu_.state.registers[kRbx] = result.ebx;
		cpu_.state.registers[kRcx] = result.ecx;
		cpu_.state.registers[kRdx] = result.edx;
		finish_instruction(cpu_, length(2));
	}

	void on_msr()
	{
		const u32 msr = cpu_.state.registers[kRcx];
		const bool write = vmcb_.exit_info_1 & 1;
		u64 value = low_half(vmcb_.rax) | cpu_.state.registers[kRdx] << 32;

		if (write ? !write_msr(cpu_, msr, value) : !read_msr(cpu_, msr, value)) {
			inject_general_protection(cpu_);
			return;
		}
		if (!write) {
			vmcb_.rax = low_half(value);
			cpu_.state.registers[kRdx] = value >> 32;
		}
		finish_instruction(cpu_, length(2));
	}

	void on_cr4_read()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("Linux: cannot decode a control-register access", vmcb_.exit_code, vmcb_.rip);
		cpu_.set_general_register(instruction.rm, vmcb_.cr4 | (cpu_.vmxe ? kCr4Vmxe : 0));
		finish_instruction(cpu_, instruction.length);
	}

	// The intercept comes before the checks of the CPU; VMXE lives here and never in a control block.
	void on_cr4_write()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("Linux: cannot decode a control-register access", vmcb_.exit_code, vmcb_.rip);
		const u64 value = cpu_.general_register(instruction.rm);
		const bool leaves_vmx = cpu_.vmxon && !(value & kCr4Vmxe);
		const bool long_mode_needs = !(value & kCr4PhysicalAddressExtension) ||
					     ((value ^ vmcb_.cr4) & kCr4La57);
		const bool pcid_without_zero = (value & ~vmcb_.cr4 & kCr4Pcide) && (vmcb_.cr3 & 0xfff);
		if ((value & ~cpu_.facts.cr4_may_be_1) || leaves_vmx || long_mode_needs || pcid_without_zero) {
			inject_general_protection(cpu_);
			return;
		}
		cpu_.vmxe = value & kCr4Vmxe;
		vmcb_.cr4 = value & ~kCr4Vmxe;
		finish_instruction(cpu_, instruction.length);
	}

	void leave()
	{
		SwitchState& state = cpu_.state;
		state.leave_rip = vmcb_.rip + kVmmcallLength;
		state.leave_cs = vmcb_.cs.selector;
		state.leave_rflags = vmcb_.rflags;
		state.leave_rsp = vmcb_.rsp;
		state.leave_ss = read_segment(kSs);
		state.leave_cr3 = vmcb_.cr3;
		state.leave_idtr = {static_cast<u16>(vmcb_.idtr.limit), vmcb_.idtr.base};
	}

	Cpu& cpu_;
	Vmcb& vmcb_;
};

}  // namespace

#endif
