// SPDX-License-Identifier: GPL-2.0
// CR0, CR4, EFER and XCR0 of the guest: the values that it may load, and the side effects of a change.
#pragma once

#include "vcpu/guest_state.h"

namespace {

inline bool is_valid_cr0(u64 value);

// XCR0 values that XSETBV accepts (SDM Vol. 1, 13.3).
inline bool is_valid_xcr0(const CpuModel& model, u64 value);

// A register with bits set that the guest's CPU does not have, or none (no name).
struct DisallowedBits {
	const char* name = nullptr;
	u64 value = 0;
	u64 allowed = 0;
};

inline DisallowedBits find_disallowed_bits(const CpuModel& model, u64 cr4, u64 efer, u64 xcr0, u64 cr3);

// PAE paging keeps four PDPTEs in registers, which MOV to CR0, CR3 and CR4 load from memory (SDM Vol. 3A, 4.4.1).
// False: a PDPTE has a reserved bit set or is not in guest memory; nothing has changed.
inline Result<bool> load_pdptes(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 cr3);

inline Result<bool> load_pdptes(Vcpu& vcpu, const LoadedVmcs& vmcs);

// MOV to CR0, LMSW.  False: #GP(0), and nothing has changed.
inline Result<bool> load_cr0(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value);

// CR4 decides which state outside the VMCS the guest can access.
constexpr u64 kCr4Followed = cr4::kOsxsave | cr4::kPke;

inline void follow_cr4(Vcpu& vcpu, u64 value);

// XSETBV of a valid value.
inline Result<void> set_xcr0(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value);

// MOV to CR4.  False: #GP(0), and nothing has changed.
inline Result<bool> load_cr4(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value);

// MOV to CR3, where the guest's physical addresses are narrower than the CPU's.  False: #GP(0), and nothing has changed.
inline Result<bool> load_cr3(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value);

// WRMSR of EFER.  False: #GP(0), and nothing has changed.
inline Result<bool> load_efer(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value);

// KVM_SET_MSRS of EFER.  Ioctls may come in any order, so VM-entry checks it against CR0 and CR4.  False: the guest's CPUID
// does not announce a bit.
inline Result<bool> set_efer(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value);

}  // namespace
