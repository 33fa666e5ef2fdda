// SPDX-License-Identifier: GPL-2.0
// Into the guest and out again, and what cannot wait then.
#pragma once

#include "vcpu/vcpu.h"

namespace {

constexpr u32 kOrdinaryExit = kEntryFailure | kBasicExitReasonMask;
static_assert(ExitReason::kExceptionOrNmi == ExitReason{0});

// PinnedVmcs, of which VM-entry needs nothing but that it is there: this is passed in no register.
struct MayEnter {
	[[gnu::always_inline]] MayEnter(const PinnedVmcs&) {}
};

// Interrupts off.  From the first host register that has the guest's value until the last has the host's again, a probe or
// a tracer would run with the guest's debug registers, XCR0 or CR2; and an NMI would wait for it.
//
// The exit reason.  0 or another without a bit of kOrdinaryExit: vcpu.crossing says more.
u32 cross(Vcpu& vcpu, MayEnter);

// What cross() did, for whoever traces and counts.
template <Reg... kRead>
[[gnu::always_inline]] inline void tell_exit(Vcpu& vcpu, const PinnedVmcs& vmcs, u32 basic_reason)
{
	vcpu.cache.hooks().counters.begin_exit(basic_reason);
	vcpu.cache.tell_vm_exit<kRead...>(vmcs);
}

// The same for an exit by an exception or NMI, once: an NMI's handler that asks for registers makes it earlier.
void tell_exception(Vcpu& vcpu, const PinnedVmcs& vmcs);

// An exit by an exception or NMI, or one whose reason is not known.
Result<void> finish_exception(Vcpu& vcpu, const PinnedVmcs& vmcs);

}  // namespace
