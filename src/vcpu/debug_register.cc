// SPDX-License-Identifier: GPL-2.0
// DR6 and DR7 of the guest.
#include "vcpu/debug_register.h"

namespace {

inline void set_dr7(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	vcpu.cache.write<Reg::kDr7>(vmcs, (value & 0xffff2bff) | dr7::kFixedOnes);
	vcpu.breakpoints_armed = value & dr7::kEnableAny;
}

inline u64 dr6_from(u64 value)
{
	// RTM is always one here: transactional memory cannot be debugged.
	return (value & dr6::kWritable) | dr6::kFixedOnes | dr6::kRtm;
}

}  // namespace
