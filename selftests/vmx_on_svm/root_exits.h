// SPDX-License-Identifier: GPL-2.0
// Exits of what runs outside of VMX non-root operation: the BIOS, then whatever it boots.  It is an SVM guest with the machine's
// own devices and memory, except for what VMX needs and for the monitor's area.
#ifndef VMX_ON_SVM_ROOT_EXITS_H
#define VMX_ON_SVM_ROOT_EXITS_H

#include "apic_writes.h"
#include "control_registers.h"
#include "instructions.h"
#include "memory_map.h"
#include "sleep.h"
#include "start.h"

namespace {

class RootExit {
 public:
	explicit RootExit(Cpu& cpu) : cpu_(cpu), vmcb_(cpu.root_vmcb) {}

	void handle()
	{
		const u32 code = vmcb_.exit_code;

		vmcb_.event = 0;
		switch (code) {
		case kExitCpuid:
			on_cpuid();
			break;
		case kExitMsr:
			on_msr();
			break;
		case kExitReadCr + 4:
			on_cr4_read();
			break;
		case kExitWriteCr + 0:
			on_cr0_write();
			break;
		case kExitWriteCr + 4:
			on_cr4_write();
			break;
		case kExitException + u32{kInvalidOpcode}:
			if (!VmxInstructionEmulation(cpu_).emulate())
				inject_exception(cpu_, kInvalidOpcode);
			break;
		case kExitNestedPageFault:
			on_nested_page_fault();
			break;
		case kExitNmi:
			on_nmi();
			break;
		case kExitIo:
			on_io();
			break;
		case kExitVmmcall:
			if (MemoryMapHook(cpu_).handle())
				break;
			[[fallthrough]];
		case kExitVmrun:
		case kExitVmload:
		case kExitVmsave:
		case kExitStgi:
		case kExitClgi:
		case kExitSkinit:
		case kExitInvlpga:
			inject_exception(cpu_, kInvalidOpcode);
			break;
		case kExitShutdown:
			triple_fault();
		case kExitInvalid:
			if (loads_invalid_cr3(cpu_)) {
				inject_general_protection(cpu_);
				break;
			}
			fatal("root: VMRUN refuses the state", vmcb_.cr0, vmcb_.rip);
		default:
			fatal("root: unexpected exit", code, vmcb_.rip);
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
		constexpr u32 kVendor = 0, kFeatures = 1, kExtendedFeatures = 7, kAmdFeatures = 0x80000001,
			      kSvmFeatures = 0x8000000a;
		constexpr u32 kVmx = bit(5), kOsXsave = bit(27), kHypervisor = bit(31), kOsPke = bit(4), kSvm = bit(2),
			      kArchCapabilities = bit(29);
		const u32 leaf = vmcb_.rax;
		const u32 subleaf = cpu_.state.registers[kRcx];
		CpuidResult result = cpuid(leaf, subleaf);

		// The monitor's CR4 is its own.
		switch (leaf) {
		case kVendor:
			// Linux uses IA32_FEATURE_CONTROL on an Intel CPU only.
			result.ebx = 0x756e6547;  // "Genu"
			result.edx = 0x49656e69;  // "ineI"
			result.ecx = 0x6c65746e;  // "ntel"
			break;
		case kFeatures:
			// Linux 6.1 does not trust BHI_NO below a hypervisor.
			result.ecx = (result.ecx & ~(kOsXsave | kHypervisor)) | (g_parameters.hide_vmx ? 0 : kVmx);
			if (vmcb_.cr4 & kCr4OsXsave)
				result.ecx |= kOsXsave;
			break;
		case kExtendedFeatures:
			if (subleaf)
				break;
			result.ecx &= ~kOsPke;
			if (vmcb_.cr4 & kCr4Pke)
				result.ecx |= kOsPke;
			result.edx |= kArchCapabilities;
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
			fatal("root: cannot decode an access to CR4", vmcb_.exit_code, vmcb_.rip);
		cpu_.set_general_register(instruction.rm, vmcb_.cr4 | (cpu_.vmxe ? kCr4Vmxe : 0));
		finish_instruction(cpu_, instruction.length);
	}

	// MOV to CR0, CLTS and LMSW.  SDM Vol. 3A, section 2.5, and Vol. 3C, section 24.8.
	void on_cr0_write()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("root: cannot decode an access to CR0", vmcb_.exit_code, vmcb_.rip);
		u64 value = vmcb_.cr0;
		if (instruction.is(0x0f, 0x06)) {
			value &= ~kCr0TaskSwitched;
		} else if (instruction.is(0x0f, 0x01)) {
			constexpr u64 kLoaded = bits(0, 3);
			u16 source = static_cast<u16>(cpu_.general_register(instruction.rm));
			if (instruction.memory_operand &&
			    !access_operand(cpu_, instruction, &source, sizeof(source), DataAccess::Read))
				return;
			// LMSW cannot clear PE.
			value = (value & ~kLoaded) | (source & kLoaded) | (value & kCr0ProtectionEnable);
		} else {
			value = cpu_.general_register(instruction.rm);
			if (!cpu_.code_64())
				value = low_half(value);
		}
		const bool leaves_vmx = cpu_.vmxon && (kCr0Fixed0 & ~value);
		if (leaves_vmx || !load_cr0(cpu_, value)) {
			inject_general_protection(cpu_);
			return;
		}
		finish_instruction(cpu_, instruction.length);
	}

	// SDM Vol. 3A, section 2.5.
	void on_cr4_write()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("root: cannot decode an access to CR4", vmcb_.exit_code, vmcb_.rip);
		u64 value = cpu_.general_register(instruction.rm);
		if (!cpu_.code_64())
			value = low_half(value);
		const bool vmxe = (value & kCr4Vmxe) || (g_cr4_hides_vmxe && cpu_.vmxe);
		if ((cpu_.vmxon && !vmxe) || !can_load_cr4(cpu_, value)) {
			inject_general_protection(cpu_);
			return;
		}
		cpu_.vmxe = vmxe;
		vmcb_.cr4 = value & ~kCr4Vmxe;
		finish_instruction(cpu_, instruction.length);
	}

	void on_nested_page_fault()
	{
		const u64 address = vmcb_.exit_info_2;

		if (take_watched_write(address))
			return;
		if ((address & kPageMask) != kApicPage || !(vmcb_.exit_info_1 & kNestedFaultWrite))
			fatal("root: nested page fault", address, vmcb_.rip);
		if (vmcb_.exit_interrupt_info & kEventValid)
			fatal("root: an event is pushed to the APIC", address, vmcb_.rip);
		finish_apic_write(ApicWrite(cpu_).execute(address & ~kPageMask));
	}

	void finish_apic_write(unsigned length)
	{
		if (length)
			finish_instruction(cpu_, length);
	}

	// Of the boot CPU only: an INIT, or an NMI of its own.
	void on_nmi()
	{
		take_nmi(cpu_);
		if (!cpu_.vmxon && take_init(cpu_)) {
			unblock_nmis();
			set_reset_state(cpu_);
			return;
		}
		vmcb_.event = kNmi | kEventNmi | kEventValid;
	}

	// PM1a_CNT.
	void on_io()
	{
		const u32 info = vmcb_.exit_info_1;
		const u16 port = info >> 16;

		if (info & (kIoString | kIoRepeat))
			fatal("root: string I/O to the power-management port", info, vmcb_.rip);
		// The upper byte of the register holds both the type and the enable bit.
		if (!(info & kIoInput))
			before_sleep(cpu_, port == kPm1Control + 1 ? (vmcb_.rax & 0xff) << 8 : vmcb_.rax & 0xffff);
		carry_out_io(cpu_);
		vmcb_.rflags &= ~kFlagResume;
		vmcb_.rip = vmcb_.exit_info_2;
	}

	Cpu& cpu_;
	Vmcb& vmcb_;
};

}  // namespace

#endif
