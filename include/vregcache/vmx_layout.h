// SPDX-License-Identifier: GPL-2.0
// Which register lives in which VMCS field, and which registers a guest changes behind the host's back.
#pragma once

#include <type_traits>

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
	put(Reg::kRip, kGuestRip);
	put(Reg::kRsp, kGuestRsp);
	put(Reg::kRflags, kGuestRflags);
	put(Reg::kInterruptibility, kGuestInterruptibilityState);
	put(Reg::kPendingDebugExceptions, kGuestPendingDebugExceptions);
	put(Reg::kActivityState, kGuestActivityState);
	put(Reg::kCr0, kGuestCr0);
	put(Reg::kCr0ReadShadow, vregcache::kCr0ReadShadow);
	put(Reg::kCr3, kGuestCr3);
	put(Reg::kCr4, kGuestCr4);
	put(Reg::kCr4ReadShadow, vregcache::kCr4ReadShadow);
	put(Reg::kEfer, kGuestIa32Efer);
	put(Reg::kDr7, kGuestDr7);
	put(Reg::kPdpte0, kGuestPdpte0);
	put(Reg::kPdpte1, kGuestPdpte1);
	put(Reg::kPdpte2, kGuestPdpte2);
	put(Reg::kPdpte3, kGuestPdpte3);
	put(Reg::kGdtrBase, kGuestGdtrBase);
	put(Reg::kGdtrLimit, kGuestGdtrLimit);
	put(Reg::kIdtrBase, kGuestIdtrBase);
	put(Reg::kIdtrLimit, kGuestIdtrLimit);
	put(Reg::kExitReason, vregcache::kExitReason);
	put(Reg::kExitQualification, vregcache::kExitQualification);
	put(Reg::kExitInterruptionInformation, vregcache::kExitInterruptionInformation);
	put(Reg::kExitInterruptionErrorCode, vregcache::kExitInterruptionErrorCode);
	put(Reg::kIdtVectoringInformation, vregcache::kIdtVectoringInformation);
	put(Reg::kIdtVectoringErrorCode, vregcache::kIdtVectoringErrorCode);
	put(Reg::kExitInstructionLength, vregcache::kExitInstructionLength);
	put(Reg::kExitInstructionInformation, vregcache::kExitInstructionInformation);
	put(Reg::kGuestPhysicalAddress, vregcache::kGuestPhysicalAddress);
	put(Reg::kGuestLinearAddress, vregcache::kGuestLinearAddress);
	put(Reg::kDebugctl, kGuestIa32Debugctl);
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
	static consteval RegSet exit_information() { return RegSet::range(Reg::kExitReason, Reg::kGuestLinearAddress); }

	// Of an exit reason (SDM Vol. 3C, 25.9.1).
	VREGCACHE_INLINE static bool is_entry_failure(u64 exit_reason) { return exit_reason & 1u << 31; }

	// Of the exit information, what an entry-failure exit does not write (SDM Vol. 3C, 27.8).
	static consteval RegSet not_of_entry_failures()
	{
		return {Reg::kIdtVectoringInformation, Reg::kIdtVectoringErrorCode};
	}

	// What only the host changes: read shadows, and EFER as long as WRMSR exits and CR0.PG is host-owned.
	static consteval RegSet host_owned() { return {Reg::kCr0ReadShadow, Reg::kCr4ReadShadow, Reg::kEfer}; }

	// What a guest may have changed when a VM-exit comes.
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
