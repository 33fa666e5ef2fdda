// SPDX-License-Identifier: GPL-2.0
// Explains in the log why VM-entry failed.
#pragma once

#include "vmx/explain/entry_check.h"

namespace {

// @what: the operation that failed.
inline void log_finding(u32 vcpu, const char* what, const EntryFinding& finding);

// VMLAUNCH or VMRESUME ended with VMfailValid.  The VMCS is current, and still has the event that was to be injected.
void explain_vm_fail(u32 vcpu, u32 error);

// The same if VM-entry failed while it loaded the guest's state (exit reason bit 31).
void explain_entry_failure_exit(u32 vcpu, u32 reason, u64 qualification);

}  // namespace
