// SPDX-License-Identifier: GPL-2.0
// State that VM-entry checks tie together, made consistent in one place, just before the registers are written back.
#pragma once

#include "vcpu/injection.h"

namespace {

Result<void> reconcile_what_changed(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Most exits change no tied register and leave no event pending: then this only checks that.  The activity state needs no
// check: HLT exits, so a guest is active at each VM-exit, and no code sets another.
[[gnu::always_inline]] inline Result<void> reconcile(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	constexpr vregcache::RegSet kTied(Reg::kRflags, Reg::kInterruptibility, Reg::kPendingDebugExceptions,
					  Reg::kEfer, Reg::kDebugctl);
	bool registers = !(vcpu.cache.dirty() & kTied).empty();
	bool events = vcpu.injected.valid() || vcpu.pending.any() || userspace_wants_interrupt_window(vcpu) ||
		      (vcpu.controls.primary.value() & kWindows);
	if (!registers && !events) [[likely]]
		return {};
	return reconcile_what_changed(vcpu, vmcs);
}

inline void report_failed_entry(Vcpu& vcpu, u64 reason);

// False: kvm_run has KVM_EXIT_FAIL_ENTRY, and the log says what to fix.
Result<bool> judge_what_was_set(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
