// SPDX-License-Identifier: GPL-2.0
// Shadows of the VMCS's controls, and of other fields that are not registers and rarely change.  The VM-entry interruption
// information cannot have a shadow, because VM-exit clears its bit 31.
#pragma once

#include <vregcache/last_written.h>
#include <vregcache/vmcs_fields.h>

#include "vmx/types.h"

namespace {

using vregcache::Shadowed;

struct ControlShadows {
	Shadowed<vregcache::kPinBasedControls> pin_based;
	Shadowed<vregcache::kPrimaryProcessorBasedControls> primary;
	Shadowed<vregcache::kSecondaryProcessorBasedControls> secondary;
	Shadowed<vregcache::kVmExitControls> vm_exit;
	Shadowed<vregcache::kVmEntryControls> vm_entry;
	Shadowed<vregcache::kExceptionBitmap> exception_bitmap;
	Shadowed<vregcache::kCr4GuestHostMask> cr4_mask;
	Shadowed<vregcache::kEptPointer> ept_pointer;
	Shadowed<vregcache::kTscOffset> tsc_offset;
	Shadowed<vregcache::kVmEntryExceptionErrorCode> entry_error_code;
	Shadowed<vregcache::kVmEntryInstructionLength> entry_instruction_length;
};

// Guest MSRs that VM-entry loads, and whose WRMSR exits.
struct MsrShadows {
	Shadowed<vregcache::kGuestIa32SysenterCs> sysenter_cs;
	Shadowed<vregcache::kGuestIa32SysenterEsp> sysenter_esp;
	Shadowed<vregcache::kGuestIa32SysenterEip> sysenter_eip;
	Shadowed<vregcache::kGuestIa32Pat> pat;
};

// Host state that differs between CPUs, between tasks or over time.
struct HostShadows {
	// Reserved bits are clear, and addresses are canonical (SDM Vol. 3C, 27.2.2 and 27.2.3).
	static constexpr u64 kReservedBits = ~u64{0}, kNotCanonical = u64{1} << 63;
	Shadowed<vregcache::kHostCr3, kReservedBits> cr3;
	Shadowed<vregcache::kHostCr4, kReservedBits> cr4;
	Shadowed<vregcache::kHostFsBase, kNotCanonical> fs_base;
	Shadowed<vregcache::kHostGsBase> gs_base;
	Shadowed<vregcache::kHostTrBase> tr_base;
	Shadowed<vregcache::kHostGdtrBase> gdtr_base;
	Shadowed<vregcache::kHostIa32SysenterEsp> sysenter_esp;
};

// Calls @visit with each shadow of a group.  The bindings count them: it does not compile if one is missing.
template <class Visit>
void for_each_shadow(const ControlShadows& shadows, Visit visit)
{
	const auto& [a, b, c, d, e, f, g, h, i, j, k] = shadows;
	visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g), visit(h), visit(i), visit(j), visit(k);
}

template <class Visit>
void for_each_shadow(const MsrShadows& shadows, Visit visit)
{
	const auto& [a, b, c, d] = shadows;
	visit(a), visit(b), visit(c), visit(d);
}

template <class Visit>
void for_each_shadow(const HostShadows& shadows, Visit visit)
{
	const auto& [a, b, c, d, e, f, g] = shadows;
	visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g);
}

}  // namespace
