// SPDX-License-Identifier: GPL-2.0 OR MIT
// Which register is which VMCS field, and which registers a guest can change without an exit.
#pragma once

#include "register.h"
#include "vmcs_fields.h"

namespace vregcache {

// The field of each register.
struct VmxEncodingTable {
	u16 encoding[index(Reg::kEnd)] = {};
};

consteval VmxEncodingTable make_vmx_encoding_table()
{
	VmxEncodingTable table;
	auto put = [&table](Reg reg, auto field) { table.encoding[index(reg)] = field.kEncoding; };
#define VREGCACHE_PUT(unused, number, name, constant, field) put(Reg::constant, vregcache::field)
	VREGCACHE_PLAIN_REGISTERS(VREGCACHE_PUT, );
#undef VREGCACHE_PUT
	// The fields of the eight segments follow each other at a distance of two in each group.
	for (u8 s = 0; s < kSegmentCount; s++) {
		auto at = [s](auto first) { return static_cast<u16>(first.kEncoding + 2 * s); };
		auto segment = static_cast<Segment>(s);
		auto& encoding = table.encoding;
		encoding[index(segment_register(segment, SegmentPart::kSelector))] = at(kGuestEsSelector);
		encoding[index(segment_register(segment, SegmentPart::kBase))] = at(kGuestEsBase);
		encoding[index(segment_register(segment, SegmentPart::kLimit))] = at(kGuestEsLimit);
		encoding[index(segment_register(segment, SegmentPart::kAccessRights))] = at(kGuestEsAccessRights);
	}
	return table;
}

// At namespace scope, where a constant has internal linkage: a static member would be a weak symbol.
constexpr VmxEncodingTable kVmxEncodingTable = make_vmx_encoding_table();

struct VmxLayout {
	VREGCACHE_INLINE static u32 encoding(Reg reg) { return kVmxEncodingTable.encoding[index(reg)]; }
	// Is this the field of a register?
	static consteval bool caches(u32 field)
	{
		for (u16 encoding : kVmxEncodingTable.encoding) {
			if (encoding == field)
				return true;
		}
		return false;
	}

	VREGCACHE_INLINE static bool writable(Reg reg)
	{
		return field_kind(encoding(reg)) != FieldKind::kExitInformation;
	}

	// The VMCS fields that VM-exits write and VM-entries do not read (SDM Vol. 3C, 25.9).
	static consteval RegSet exit_information()
	{
		return RegSet::range(Reg::VREGCACHE_FIRST_EXIT_INFORMATION, Reg::VREGCACHE_LAST_EXIT_INFORMATION);
	}

	// Of an exit reason (SDM Vol. 3C, 25.9.1).
	VREGCACHE_INLINE static bool is_entry_failure(u64 exit_reason) { return exit_reason & 1u << 31; }

	// Exit information that a VM-entry failure does not write (SDM Vol. 3C, 27.8).
	static consteval RegSet not_of_entry_failures()
	{
		return {Reg::kIdtVectoringInformation, Reg::kIdtVectoringErrorCode};
	}

	// Only the host changes these: read shadows, and EFER as long as WRMSR exits and CR0.PG is host-owned.
	static consteval RegSet host_owned() { return {Reg::kCr0ReadShadow, Reg::kCr4ReadShadow, Reg::kEfer}; }

	// The guest may have changed these by the time of a VM-exit.
	static consteval RegSet lazy() { return RegSet::all() - host_owned(); }

	// The value type of a register is that of its field.
	template <Reg kReg>
	using Value = FieldValue<field_width(kVmxEncodingTable.encoding[index(kReg)])>;
};

static_assert(VmxLayout::encoding(segment_register(Segment::kTr, SegmentPart::kAccessRights)) ==
	      decltype(kGuestTrAccessRights)::kEncoding);
static_assert(VmxLayout::encoding(segment_register(Segment::kTr, SegmentPart::kBase)) ==
	      decltype(kGuestTrBase)::kEncoding);
static_assert(VmxLayout::exit_information().size() == 10);

}  // namespace vregcache
