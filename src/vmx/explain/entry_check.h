// SPDX-License-Identifier: GPL-2.0
// Which check made VM-entry fail.  After a failure the CPU's checks are repeated on the VMCS's fields, one by one.
#pragma once

#include "vmx/explain/entry_check_controls.h"
#include "vmx/explain/entry_check_guest.h"
#include "vmx/explain/entry_check_host.h"

namespace {

// VM-instruction error 7 (SDM Vol. 3C, 27.2.1)
template <class Reader>
EntryFinding find_invalid_control(const Reader& vmcs, const EntryFacts& facts)
{
	ControlChecks<Reader> checks(vmcs, facts);
	checks.find();
	return checks.finding();
}

// VM-instruction error 8 (SDM Vol. 3C, 27.2.2 to 27.2.4)
template <class Reader>
EntryFinding find_invalid_host_state(const Reader& vmcs, const EntryFacts& facts)
{
	HostChecks<Reader> checks(vmcs, facts);
	checks.find();
	return checks.finding();
}

// Exit reason 33 and its qualification (SDM Vol. 3C, 27.3.1 and 27.8).  If the check that the qualification names finds
// nothing, the others are made.
template <class Reader>
EntryFinding find_invalid_guest_state(const Reader& vmcs, const EntryFacts& facts, u64 qualification)
{
	GuestChecks<Reader> checks(vmcs, facts);
	if (!checks.find(qualification))
		checks.find(static_cast<u64>(GuestStateQualification::kOther));
	return checks.finding();
}

}  // namespace
