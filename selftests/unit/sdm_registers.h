// SPDX-License-Identifier: GPL-2.0
// Each register's field and what changes it, entered by hand from the SDM (Vol. 3C, 25.4 to 25.9, and Vol. 3D,
// Appendix B): it must not be derived from the layout that it checks.
#pragma once

#include <vregcache/register.h>

#include <array>
#include <stdexcept>

#include "sdm_fields.h"

namespace vregcache::test {

enum class ChangedBy {
	kGuest,   // saved by VM-exit
	kHost,    // VM-exit does not change it, or saves what only the host can change
	kVmExit,  // describes the VM-exit; VM-entry does not read it
};

struct SdmRegister {
	Reg reg;
	u32 encoding;
	ChangedBy changed_by;
};

constexpr SdmRegister guest_register(Reg reg, u32 encoding) { return {reg, encoding, ChangedBy::kGuest}; }
constexpr SdmRegister host_register(Reg reg, u32 encoding) { return {reg, encoding, ChangedBy::kHost}; }
constexpr SdmRegister exit_register(Reg reg, u32 encoding) { return {reg, encoding, ChangedBy::kVmExit}; }
constexpr SdmRegister segment_part(Segment segment, SegmentPart part, u32 encoding)
{
	return {segment_register(segment, part), encoding, ChangedBy::kGuest};
}

inline constexpr auto kSdmRegisters = std::to_array<SdmRegister>({
	guest_register(Reg::kRip, 0x681e),
	guest_register(Reg::kRsp, 0x681c),
	guest_register(Reg::kRflags, 0x6820),
	guest_register(Reg::kInterruptibility, 0x4824),
	guest_register(Reg::kPendingDebugExceptions, 0x6822),
	guest_register(Reg::kActivityState, 0x4826),
	guest_register(Reg::kCr0, 0x6800),
	host_register(Reg::kCr0ReadShadow, 0x6004),
	guest_register(Reg::kCr3, 0x6802),
	guest_register(Reg::kCr4, 0x6804),
	host_register(Reg::kCr4ReadShadow, 0x6006),
	host_register(Reg::kEfer, 0x2806),
	guest_register(Reg::kDr7, 0x681a),
	guest_register(Reg::kPdpte0, 0x280a),
	guest_register(Reg::kPdpte1, 0x280c),
	guest_register(Reg::kPdpte2, 0x280e),
	guest_register(Reg::kPdpte3, 0x2810),
	guest_register(Reg::kGdtrBase, 0x6816),
	guest_register(Reg::kGdtrLimit, 0x4810),
	guest_register(Reg::kIdtrBase, 0x6818),
	guest_register(Reg::kIdtrLimit, 0x4812),
	exit_register(Reg::kExitReason, 0x4402),
	exit_register(Reg::kExitQualification, 0x6400),
	exit_register(Reg::kExitInterruptionInformation, 0x4404),
	exit_register(Reg::kExitInterruptionErrorCode, 0x4406),
	exit_register(Reg::kIdtVectoringInformation, 0x4408),
	exit_register(Reg::kIdtVectoringErrorCode, 0x440a),
	exit_register(Reg::kExitInstructionLength, 0x440c),
	exit_register(Reg::kExitInstructionInformation, 0x440e),
	exit_register(Reg::kGuestPhysicalAddress, 0x2400),
	exit_register(Reg::kGuestLinearAddress, 0x640a),
	guest_register(Reg::kDebugctl, 0x2802),
	segment_part(Segment::kEs, SegmentPart::kSelector, 0x0800),
	segment_part(Segment::kEs, SegmentPart::kBase, 0x6806),
	segment_part(Segment::kEs, SegmentPart::kLimit, 0x4800),
	segment_part(Segment::kEs, SegmentPart::kAccessRights, 0x4814),
	segment_part(Segment::kCs, SegmentPart::kSelector, 0x0802),
	segment_part(Segment::kCs, SegmentPart::kBase, 0x6808),
	segment_part(Segment::kCs, SegmentPart::kLimit, 0x4802),
	segment_part(Segment::kCs, SegmentPart::kAccessRights, 0x4816),
	segment_part(Segment::kSs, SegmentPart::kSelector, 0x0804),
	segment_part(Segment::kSs, SegmentPart::kBase, 0x680a),
	segment_part(Segment::kSs, SegmentPart::kLimit, 0x4804),
	segment_part(Segment::kSs, SegmentPart::kAccessRights, 0x4818),
	segment_part(Segment::kDs, SegmentPart::kSelector, 0x0806),
	segment_part(Segment::kDs, SegmentPart::kBase, 0x680c),
	segment_part(Segment::kDs, SegmentPart::kLimit, 0x4806),
	segment_part(Segment::kDs, SegmentPart::kAccessRights, 0x481a),
	segment_part(Segment::kFs, SegmentPart::kSelector, 0x0808),
	segment_part(Segment::kFs, SegmentPart::kBase, 0x680e),
	segment_part(Segment::kFs, SegmentPart::kLimit, 0x4808),
	segment_part(Segment::kFs, SegmentPart::kAccessRights, 0x481c),
	segment_part(Segment::kGs, SegmentPart::kSelector, 0x080a),
	segment_part(Segment::kGs, SegmentPart::kBase, 0x6810),
	segment_part(Segment::kGs, SegmentPart::kLimit, 0x480a),
	segment_part(Segment::kGs, SegmentPart::kAccessRights, 0x481e),
	segment_part(Segment::kLdtr, SegmentPart::kSelector, 0x080c),
	segment_part(Segment::kLdtr, SegmentPart::kBase, 0x6812),
	segment_part(Segment::kLdtr, SegmentPart::kLimit, 0x480c),
	segment_part(Segment::kLdtr, SegmentPart::kAccessRights, 0x4820),
	segment_part(Segment::kTr, SegmentPart::kSelector, 0x080e),
	segment_part(Segment::kTr, SegmentPart::kBase, 0x6814),
	segment_part(Segment::kTr, SegmentPart::kLimit, 0x480e),
	segment_part(Segment::kTr, SegmentPart::kAccessRights, 0x4822),
});

inline const SdmRegister& sdm_register(Reg reg)
{
	for (const SdmRegister& entry : kSdmRegisters) {
		if (entry.reg == reg)
			return entry;
	}
	throw std::invalid_argument("a test asks for a register that does not exist");
}

inline u32 encoding_of(Reg reg) { return sdm_register(reg).encoding; }
inline u64 mask_of(Reg reg) { return width_mask(find_sdm_field(encoding_of(reg))->width); }
inline bool is_writable(Reg reg) { return sdm_register(reg).changed_by != ChangedBy::kVmExit; }

inline RegSet registers_changed_by(ChangedBy who)
{
	RegSet set;
	for (const SdmRegister& entry : kSdmRegisters) {
		if (entry.changed_by == who)
			set |= entry.reg;
	}
	return set;
}

}  // namespace vregcache::test
