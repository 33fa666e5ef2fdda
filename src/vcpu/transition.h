// SPDX-License-Identifier: GPL-2.0
// VM-entry and VM-exit, and the work that cannot wait after it.
#pragma once

#include "vcpu/vcpu.h"
#include "vcpu/vm_exit.h"

namespace {

// Proof of a PinnedVmcs, which is all that VM-entry needs of one; it is passed in no register.
struct MayEnter {
	[[gnu::always_inline]] MayEnter(const PinnedVmcs&) {}
};

// Interrupts off.  From the first register that gets the guest's value until the last has the host's again, a probe or a
// tracer would run with the guest's debug registers, XCR0 or CR2, and an NMI would wait for it.
// NOLINTNEXTLINE(readability-redundant-declaration): the other one makes it a friend
VmExit enter_guest(Vcpu& vcpu, MayEnter);

// Calls the hooks for an exit that enter_guest() returned.
template <Reg... kRead>
[[gnu::always_inline]] inline void report_exit(Vcpu& vcpu, const PinnedVmcs& vmcs, u32 basic_reason)
{
	vcpu.cache.hooks().counters.begin_exit(basic_reason);
	vcpu.cache.report_vm_exit<kRead...>(vmcs);
}

// The same for an exit by an exception or NMI, once: an NMI handler that reads registers makes it earlier.
void report_exception(Vcpu& vcpu, const PinnedVmcs& vmcs);

// An exit by an exception or NMI, or one of which a field could not be read (@error).
Result<void> finish_exception(Vcpu& vcpu, const PinnedVmcs& vmcs, Error error);

}  // namespace
