// SPDX-License-Identifier: GPL-2.0
// The module's C++ part, run in a process of its own.
//
// module.cc is all C++ of the module, src/module.cc, unchanged.  Everything below it is emulated here:
//
//	privileged_instructions.h  makes the assembler replace each privileged instruction of the module with a call
//	emulation.h                emulates it on a CPU of a few variables and a model VMCS
//	host.h                     the kernel's services (src/linux/host.h)
//	guest.h                    the guest: VM-entry takes the next VM-exit from a script
//	vcpu_fixture.h             a virtual machine with a vCPU, driven through the ioctls
//	access_lists.h             the fields that were read and written between two points in time
//
// So a test sees each VMREAD and VMWRITE by its field, can make any of them fail, and runs in a millisecond.  It cannot
// show hardware's behaviour: the kselftests test the same on VMX CPUs.  src/vmx/entry.S is not part of it.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "../model_vmcs.h"

namespace vregcache::test {

// The caller's registers and the operands of an emulated instruction; the stubs in emulation.cc build it.
struct InstructionFrame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 rflags;
	u64 handler;
	u64 return_address;
	u64 operand[2];
};
static_assert(__builtin_offsetof(InstructionFrame, handler) == 128);

struct DescriptorTableRegister {
	u16 limit = 0;
	u64 base = 0;
};

// The state that the module reads and changes of a CPU that the kernel runs on.
struct HostCpu {
	explicit HostCpu(ModelMemory& memory) : vmx(memory) {}

	std::map<u32, u64> msr;
	u64 cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
	std::array<u64, 8> dr = {};
	u64 xcr0 = 0;
	u32 pkru = 0;
	u16 cs = 0, ss = 0, ds = 0, es = 0, fs = 0, gs = 0, tr = 0, ldtr = 0;
	std::array<u64, 16> gdt = {};
	DescriptorTableRegister gdtr, idtr;
	u64 tsc = 0;

	bool in_vmx_operation = false;
	ModelCpu vmx;  // its current VMCS, and accesses to it
};

// The state of a VMCS besides its fields (SDM Vol. 3C, 25.1 and 25.11.3).
struct VmcsState {
	bool initialized = false;  // by VMCLEAR
	bool launched = false;
	unsigned active_on = ~0u;  // the CPU where it was loaded last, until VMCLEAR
};

struct CpuidLeaf {
	u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
};

constexpr unsigned kCpuCount = 2;

// Two CPUs with every VMX feature that the module knows.
struct Hardware {
	Hardware();
	Hardware(const Hardware&) = delete;
	~Hardware();

	HostCpu& cpu() { return cpus[current]; }
	// The task continues there: the module's per-CPU data are now that CPU's.
	void move_to(unsigned number);

	ModelMemory vmcs_memory;
	std::array<HostCpu, kCpuCount> cpus{HostCpu(vmcs_memory), HostCpu(vmcs_memory)};
	unsigned current = 0;
	std::map<VmcsId, VmcsState> vmcs_state;
	std::map<std::pair<u32, u32>, CpuidLeaf> cpuid;
	u32 vmptrlds = 0;
	u32 invepts = 0;
};

// The one that the module currently runs on.
Hardware& hardware();

}  // namespace vregcache::test
