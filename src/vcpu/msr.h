// SPDX-License-Identifier: GPL-2.0
// MSRs of the guest, for RDMSR and WRMSR exits and for KVM_GET_MSRS and KVM_SET_MSRS.
#pragma once

#include "vcpu/guest_state.h"

namespace {

// Listed by KVM_GET_MSR_INDEX_LIST: the state that migration must transfer.
// clang-format off
constexpr u32 kMsrIndexList[] = {
	msr::kTimeStampCounter, msr::kSysenterCs, msr::kSysenterEsp, msr::kSysenterEip, msr::kDebugctl, msr::kPat, msr::kEfer,
	msr::kStar, msr::kLstar, msr::kCstar, msr::kSfmask, msr::kFsBase, msr::kGsBase, msr::kKernelGsBase, msr::kTscAux,
	msr::kApicBase,
};

// clang-format on

// Bits that IA32_APIC_BASE may have.  The module has no local APIC: it keeps the base and refuses x2APIC.
inline u64 allowed_apic_base(const CpuModel& model);

// A guest has the MSRs that its CPUID announces (SDM Vol. 4, table 2-2); userspace may save and restore them all.
enum class MsrUser : u8 { kGuest, kUserspace };

struct MsrValue {
	bool known = false;
	u64 value = 0;
};

inline Result<MsrValue> read_msr(Vcpu& vcpu, const LoadedVmcs& vmcs, MsrUser user, u32 index);

// False: the MSR does not exist, or the value is not allowed; WRMSR raises #GP(0), and nothing has changed.
inline Result<bool> write_msr(Vcpu& vcpu, const LoadedVmcs& vmcs, MsrUser user, u32 index, u64 value);

}  // namespace
