// SPDX-License-Identifier: GPL-2.0
// VM-exits as the instructions of a guest in 64-bit mode cause them.
#pragma once

#include <vregcache/vmcs_fields.h>

#include "vcpu_fixture.h"

namespace vregcache::test {

inline Step cpuid_exit(GuestDid guest_did = {})
{
	return exit_for_instruction(reason::kCpuid, 2, 0, std::move(guest_did));
}

inline Step hlt_exit(GuestDid guest_did = {}) { return exit_for_instruction(reason::kHlt, 1, 0, std::move(guest_did)); }

inline Step vmcall_exit() { return exit_for_instruction(reason::kVmcall, 3); }
inline Step wbinvd_exit() { return exit_for_instruction(reason::kWbinvd, 2); }

inline Step rdmsr_exit(u32 msr)
{
	return exit_for_instruction(reason::kRdmsr, 2, 0, [msr](GuestState& guest) { guest.gpr[Gpr::kRcx] = msr; });
}

inline Step wrmsr_exit(u32 msr, u64 value)
{
	return exit_for_instruction(reason::kWrmsr, 2, 0, [msr, value](GuestState& guest) {
		guest.gpr[Gpr::kRcx] = msr;
		guest.gpr[Gpr::kRax] = static_cast<u32>(value);
		guest.gpr[Gpr::kRdx] = value >> 32;
	});
}

// OUT and IN of one byte, port 0x80 (SDM Vol. 3C, table 28-5).
constexpr u64 kIoOut = 0x80 << 16, kIoIn = kIoOut | 1u << 3;
inline Step out_exit() { return exit_for_instruction(reason::kIo, 2, kIoOut); }
inline Step in_exit() { return exit_for_instruction(reason::kIo, 2, kIoIn); }

// MOV of RAX to CR0 that toggles AM.
inline Step mov_to_cr0_exit()
{
	return exit_for_instruction(reason::kControlRegister, 3, 0, [](GuestState& guest) {
		constexpr u64 kAlignmentMask = 1u << 18;
		guest.gpr[Gpr::kRax] = guest[kCr0ReadShadow] ^ kAlignmentMask;
	});
}

// A write to a page backed by memory (SDM Vol. 3C, table 28-7).
constexpr u64 kEptWrite = 1u << 1, kEptNmiUnblockedByIret = 1u << 12;
inline Step ept_violation_exit(u64 qualification = kEptWrite, u32 idt_vectoring = 0, u32 idt_vectoring_error_code = 0)
{
	Step step = exit_for(reason::kEptViolation, qualification, [=](GuestState& guest) {
		guest.set(kGuestPhysicalAddress, 0x3000);
		guest.set(kIdtVectoringErrorCode, idt_vectoring_error_code);
	});
	step.idt_vectoring = idt_vectoring;
	return step;
}

inline Step external_interrupt_exit() { return exit_for(reason::kExternalInterrupt); }
inline Step interrupt_window_exit() { return exit_for(reason::kInterruptWindow); }

// The guest's state at a VM-exit.
inline GuestDid has_rflags(u64 rflags)
{
	return [rflags](GuestState& guest) { guest.set(kGuestRflags, rflags); };
}

inline GuestDid has_interruptibility(u32 blocking)
{
	return [blocking](GuestState& guest) { guest.set(kGuestInterruptibilityState, blocking); };
}

constexpr u64 kFlagsFixed = 1u << 1, kFlagTf = 1u << 8, kFlagIf = 1u << 9, kFlagRf = 1u << 16;
constexpr u32 kStiBlocks = 1u << 0, kMovSsBlocks = 1u << 1, kNmiBlocks = 1u << 3;

// Interruption information, the same in all of its fields (SDM Vol. 3C, table 25-17).
constexpr u32 kEventValid = 1u << 31, kEventHasErrorCode = 1u << 11;
constexpr u32 interrupt_event(u8 vector) { return kEventValid | vector; }
constexpr u32 exception_event(u8 vector) { return kEventValid | 3u << 8 | vector; }
constexpr u32 software_interrupt_event(u8 vector) { return kEventValid | 4u << 8 | vector; }
constexpr u32 kNmiEvent = kEventValid | 2u << 8 | 2u;

}  // namespace vregcache::test
