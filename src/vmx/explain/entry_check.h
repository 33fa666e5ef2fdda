// SPDX-License-Identifier: GPL-2.0
// Which check made VM-entry fail.  After a failure the CPU's checks are repeated on the VMCS's fields, one by one.
#pragma once

#include <vregcache/segment.h>
#include <vregcache/vmcs_fields.h>

#include "vmx/types.h"

namespace {

// A VMCS field that is known only at run time.
struct AnyField {
	template <u32 kEncoding>
	constexpr AnyField(vregcache::Field<kEncoding>) : encoding(kEncoding)
	{}
	explicit constexpr AnyField(u32 number) : encoding(number) {}

	u32 encoding;
};

// A guest segment register's fields.
struct SegmentFields {
	explicit constexpr SegmentFields(vregcache::Segment segment)
	    : selector(AnyField(vregcache::kGuestEsSelector).encoding + distance(segment)),
	      base(AnyField(vregcache::kGuestEsBase).encoding + distance(segment)),
	      limit(AnyField(vregcache::kGuestEsLimit).encoding + distance(segment)),
	      access_rights(AnyField(vregcache::kGuestEsAccessRights).encoding + distance(segment))
	{}

	AnyField selector, base, limit, access_rights;

 private:
	static constexpr u32 distance(vregcache::Segment segment) { return 2 * static_cast<u32>(segment); }
};

// The bits of a control group that must be 1, and those that may be 1 (SDM Vol. 3D, A.3).
struct AllowedSettings {
	u32 must_be_1 = 0;
	u32 may_be_1 = 0;
};

// Facts about the processor that the checks need.
struct EntryFacts {
	AllowedSettings pin_based, primary, secondary, vm_exit, vm_entry;
	u64 cr0_fixed0 = 0, cr0_fixed1 = 0, cr4_fixed0 = 0, cr4_fixed1 = 0;
	u64 basic = 0;     // IA32_VMX_BASIC
	u64 misc = 0;      // IA32_VMX_MISC
	u64 ept_vpid = 0;  // IA32_VMX_EPT_VPID_CAP
	u32 physical_bits = 0;
	u32 linear_bits = 0;
	bool rtm = false;
	bool bus_lock_detection = false;
};

// The field that VM-entry found invalid.  Nothing was found if section is null.
struct EntryFinding {
	const char* section = nullptr;  // of SDM Vol. 3C
	u32 field = 0;
	u64 value = 0;
	const char* rule = nullptr;
	const char* operand_name = nullptr;  // what the operand is; null if the rule has none
	u64 operand = 0;

	bool found() const { return section != nullptr; }
};

// The fields are read through Reader: Result<u64> vmread(u32 encoding) const.

// VM-instruction error 7 (SDM Vol. 3C, 27.2.1)
template <class Reader>
EntryFinding find_invalid_control(const Reader& vmcs, const EntryFacts& facts);

// VM-instruction error 8 (SDM Vol. 3C, 27.2.2 to 27.2.4)
template <class Reader>
EntryFinding find_invalid_host_state(const Reader& vmcs, const EntryFacts& facts);

// Exit reason 33 and its qualification (SDM Vol. 3C, 27.3.1 and 27.8).  If the check that the qualification names finds
// nothing, the others are made.
template <class Reader>
EntryFinding find_invalid_guest_state(const Reader& vmcs, const EntryFacts& facts, u64 qualification);

// The part of it that is about segment registers and descriptor tables (SDM Vol. 3C, 27.3.1.2 and 27.3.1.3)
template <class Reader>
EntryFinding find_invalid_segment(const Reader& vmcs, const EntryFacts& facts);

}  // namespace
