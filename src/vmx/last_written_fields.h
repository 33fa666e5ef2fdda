// SPDX-License-Identifier: GPL-2.0
// The last-written values of the VMCS's controls, and of other fields that are not registers and rarely change.  The VM-entry
// interruption information is not among them, because VM-exit clears its bit 31.
#pragma once

#include <vregcache/last_written.h>
#include <vregcache/vmcs_fields.h>

#include "vmx/types.h"

namespace {

using vregcache::LastWritten;

struct ControlFields {
	LastWritten<vregcache::kPinBasedControls> pin_based;
	LastWritten<vregcache::kPrimaryProcessorBasedControls> primary;
	LastWritten<vregcache::kSecondaryProcessorBasedControls> secondary;
	LastWritten<vregcache::kVmExitControls> vm_exit;
	LastWritten<vregcache::kVmEntryControls> vm_entry;
	LastWritten<vregcache::kExceptionBitmap> exception_bitmap;
	LastWritten<vregcache::kCr4GuestHostMask> cr4_mask;
	LastWritten<vregcache::kEptPointer> ept_pointer;
	LastWritten<vregcache::kTscOffset> tsc_offset;
	LastWritten<vregcache::kVmEntryExceptionErrorCode> entry_error_code;
	LastWritten<vregcache::kVmEntryInstructionLength> entry_instruction_length;
};

// Guest MSRs that VM-entry loads, and whose WRMSR exits.
struct MsrFields {
	LastWritten<vregcache::kGuestIa32SysenterCs> sysenter_cs;
	LastWritten<vregcache::kGuestIa32SysenterEsp> sysenter_esp;
	LastWritten<vregcache::kGuestIa32SysenterEip> sysenter_eip;
	LastWritten<vregcache::kGuestIa32Pat> pat;
};

// Host state that differs between CPUs, between tasks or over time.
struct HostFields {
	// Reserved bits are clear, and addresses are canonical (SDM Vol. 3C, 27.2.2 and 27.2.3).
	static constexpr u64 kReservedBits = ~u64{0}, kNotCanonical = u64{1} << 63;
	LastWritten<vregcache::kHostCr3, kReservedBits> cr3;
	LastWritten<vregcache::kHostCr4, kReservedBits> cr4;
	LastWritten<vregcache::kHostFsBase, kNotCanonical> fs_base;
	LastWritten<vregcache::kHostGsBase> gs_base;
	LastWritten<vregcache::kHostTrBase> tr_base;
	LastWritten<vregcache::kHostGdtrBase> gdtr_base;
	LastWritten<vregcache::kHostIa32SysenterEsp> sysenter_esp;
};

// Calls @visit with each field of a group.  The bindings count them: it does not compile if one is missing.
template <class Visit>
void for_each_last_written(const ControlFields& fields, Visit visit)
{
	const auto& [a, b, c, d, e, f, g, h, i, j, k] = fields;
	visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g), visit(h), visit(i), visit(j), visit(k);
}

template <class Visit>
void for_each_last_written(const MsrFields& fields, Visit visit)
{
	const auto& [a, b, c, d] = fields;
	visit(a), visit(b), visit(c), visit(d);
}

template <class Visit>
void for_each_last_written(const HostFields& fields, Visit visit)
{
	const auto& [a, b, c, d, e, f, g] = fields;
	visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g);
}

}  // namespace
