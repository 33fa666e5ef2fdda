// SPDX-License-Identifier: GPL-2.0
// Single-stepping the guest over one instruction, so that it sees nothing of that in RFLAGS, R11 and memory.
#ifndef VMX_ON_SVM_STEP_H
#define VMX_ON_SVM_STEP_H

#include "events.h"

namespace {

// At the instruction at RIP.
inline void begin_step(Cpu& cpu)
{
	Vmcb& guest = cpu.guest_vmcb;
	StepState& state = cpu.step_state;
	constexpr u8 kPushf = 0x9c, kPopf = 0x9d, kIret = 0xcf;
	Instruction instruction;
	const bool decoded = decode(cpu, instruction);

	state = {};
	state.rip = guest.rip;
	state.repeats = decoded && (instruction.repeat || instruction.repeat_not_equal);
	state.guest_trap = guest.rflags & kFlagTrap;
	state.pushes_flags = decoded && instruction.is(kPushf);
	state.loads_flags = decoded && (instruction.is(kPopf) || instruction.is(kIret));
	// QEMU looks at RFLAGS.TF after SYSCALL and SYSRET, and before all others.
	if (decoded && instruction.is(0x0f, 0x05) && cpu.code_64()) {
		state.is_syscall = true;
		state.syscall_mask = rdmsr(kMsrSyscallMask);
		wrmsr(kMsrSyscallMask, state.syscall_mask & ~kFlagTrap);
	}
	if (decoded && instruction.is(0x0f, 0x07) && cpu.code_64()) {
		state.is_sysret = true;
		state.sysret_flags = cpu.state.registers[kR11];
		cpu.state.registers[kR11] |= kFlagTrap;
	}
	guest.rflags |= kFlagTrap;
}

inline void set_trap_flag(Cpu& cpu, bool value)
{
	u64& rflags = cpu.guest_vmcb.rflags;
	rflags = (rflags & ~kFlagTrap) | (value ? kFlagTrap : 0);
}

// In the image that PUSHF has just stored.
inline void clear_pushed_trap_flag(Cpu& cpu)
{
	const Vmcb& guest = cpu.guest_vmcb;
	u64 address = guest.rsp;
	if (!cpu.code_64()) {
		if (!(guest.ss.attributes & kAttributeDefaultBig))
			address &= 0xffff;
		address = low_half(guest.ss.base + address);
	}
	const LinearTranslation page = translate(cpu, address + 1);
	if (!page.mapped)
		return;
	u8* const flags = static_cast<u8*>(cpu.memory(page.host_physical));
	*flags = *flags & ~(kFlagTrap >> 8);
}

// The guest exits, and the instruction has been carried out or not.
inline void end_step(Cpu& cpu, bool completed)
{
	const StepState& state = cpu.step_state;

	if (state.is_syscall)
		wrmsr(kMsrSyscallMask, state.syscall_mask);
	if (state.is_sysret)
		cpu.state.registers[kR11] = state.sysret_flags;
	if (!completed) {
		set_trap_flag(cpu, state.guest_trap);
		return;
	}
	if (state.pushes_flags && !state.guest_trap)
		clear_pushed_trap_flag(cpu);
	if (state.is_syscall) {
		u64& stored = cpu.state.registers[kR11];
		if (!state.guest_trap)
			stored &= ~kFlagTrap;
		set_trap_flag(cpu, state.guest_trap && !(state.syscall_mask & kFlagTrap));
	} else if (state.is_sysret) {
		set_trap_flag(cpu, state.sysret_flags & kFlagTrap);
	} else if (!state.loads_flags) {
		set_trap_flag(cpu, state.guest_trap);
	}
}

}  // namespace

#endif
