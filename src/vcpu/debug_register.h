// SPDX-License-Identifier: GPL-2.0
// DR6 and DR7 of the guest.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// DR7 decides whether the guest's breakpoints are loaded.
inline void set_dr7(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	constexpr u64 kEnableAny = 0xff, kFixedOnes = 1u << 10;
	vcpu.cache.write<Reg::kDr7>(vmcs, (value & 0xffff2bff) | kFixedOnes);
	vcpu.breakpoints_armed = value & kEnableAny;
}

constexpr u64 kDr6FixedOnes = 0xfffe0ff0, kDr6Writable = 0x1e00f, kDr6Rtm = 1u << 16;

inline u64 dr6_from(u64 value)
{
	// RTM is always one here: transactional memory cannot be debugged.
	return (value & kDr6Writable) | kDr6FixedOnes | kDr6Rtm;
}

}  // namespace
