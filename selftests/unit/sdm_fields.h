// SPDX-License-Identifier: GPL-2.0
// VMCS fields according to the SDM (Vol. 3D, Appendix B), entered by hand and not derived from the library: the tests
// check the library against this table, and the model VMCS has these fields and no others.
#pragma once

#include <vregcache/vmcs_field.h>

#include <array>
#include <cstddef>

namespace vregcache::test {

struct SdmField {
	const char* name;  // of the library's constant
	u32 encoding;
	u32 width;  // in bits, on a processor that supports Intel 64
	FieldKind kind;
};

inline constexpr auto kControl = FieldKind::kControl;
inline constexpr auto kExitInfo = FieldKind::kExitInformation;
inline constexpr auto kGuest = FieldKind::kGuestState;
inline constexpr auto kHost = FieldKind::kHostState;

inline constexpr auto kSdmFields = std::to_array<SdmField>({
	// B.1, 16-bit fields
	{"kVirtualProcessorId", 0x0000, 16, kControl},
	{"kGuestEsSelector", 0x0800, 16, kGuest},
	{"kGuestCsSelector", 0x0802, 16, kGuest},
	{"kGuestSsSelector", 0x0804, 16, kGuest},
	{"kGuestDsSelector", 0x0806, 16, kGuest},
	{"kGuestFsSelector", 0x0808, 16, kGuest},
	{"kGuestGsSelector", 0x080a, 16, kGuest},
	{"kGuestLdtrSelector", 0x080c, 16, kGuest},
	{"kGuestTrSelector", 0x080e, 16, kGuest},
	{"kHostEsSelector", 0x0c00, 16, kHost},
	{"kHostCsSelector", 0x0c02, 16, kHost},
	{"kHostSsSelector", 0x0c04, 16, kHost},
	{"kHostDsSelector", 0x0c06, 16, kHost},
	{"kHostFsSelector", 0x0c08, 16, kHost},
	{"kHostGsSelector", 0x0c0a, 16, kHost},
	{"kHostTrSelector", 0x0c0c, 16, kHost},
	// B.2, 64-bit fields
	{"kIoBitmapA", 0x2000, 64, kControl},
	{"kIoBitmapB", 0x2002, 64, kControl},
	{"kMsrBitmaps", 0x2004, 64, kControl},
	{"kVmExitMsrStoreAddress", 0x2006, 64, kControl},
	{"kVmExitMsrLoadAddress", 0x2008, 64, kControl},
	{"kVmEntryMsrLoadAddress", 0x200a, 64, kControl},
	{"kTscOffset", 0x2010, 64, kControl},
	{"kEptPointer", 0x201a, 64, kControl},
	{"kEnclsExitingBitmap", 0x202e, 64, kControl},
	{"kGuestPhysicalAddress", 0x2400, 64, kExitInfo},
	{"kVmcsLinkPointer", 0x2800, 64, kGuest},
	{"kGuestIa32Debugctl", 0x2802, 64, kGuest},
	{"kGuestIa32Pat", 0x2804, 64, kGuest},
	{"kGuestIa32Efer", 0x2806, 64, kGuest},
	{"kGuestPdpte0", 0x280a, 64, kGuest},
	{"kGuestPdpte1", 0x280c, 64, kGuest},
	{"kGuestPdpte2", 0x280e, 64, kGuest},
	{"kGuestPdpte3", 0x2810, 64, kGuest},
	{"kHostIa32Pat", 0x2c00, 64, kHost},
	{"kHostIa32Efer", 0x2c02, 64, kHost},
	// B.3, 32-bit fields
	{"kPinBasedControls", 0x4000, 32, kControl},
	{"kPrimaryProcessorBasedControls", 0x4002, 32, kControl},
	{"kExceptionBitmap", 0x4004, 32, kControl},
	{"kPageFaultErrorCodeMask", 0x4006, 32, kControl},
	{"kPageFaultErrorCodeMatch", 0x4008, 32, kControl},
	{"kCr3TargetCount", 0x400a, 32, kControl},
	{"kVmExitControls", 0x400c, 32, kControl},
	{"kVmExitMsrStoreCount", 0x400e, 32, kControl},
	{"kVmExitMsrLoadCount", 0x4010, 32, kControl},
	{"kVmEntryControls", 0x4012, 32, kControl},
	{"kVmEntryMsrLoadCount", 0x4014, 32, kControl},
	{"kVmEntryInterruptionInformation", 0x4016, 32, kControl},
	{"kVmEntryExceptionErrorCode", 0x4018, 32, kControl},
	{"kVmEntryInstructionLength", 0x401a, 32, kControl},
	{"kSecondaryProcessorBasedControls", 0x401e, 32, kControl},
	{"kVmInstructionError", 0x4400, 32, kExitInfo},
	{"kExitReason", 0x4402, 32, kExitInfo},
	{"kExitInterruptionInformation", 0x4404, 32, kExitInfo},
	{"kExitInterruptionErrorCode", 0x4406, 32, kExitInfo},
	{"kIdtVectoringInformation", 0x4408, 32, kExitInfo},
	{"kIdtVectoringErrorCode", 0x440a, 32, kExitInfo},
	{"kExitInstructionLength", 0x440c, 32, kExitInfo},
	{"kExitInstructionInformation", 0x440e, 32, kExitInfo},
	{"kGuestEsLimit", 0x4800, 32, kGuest},
	{"kGuestCsLimit", 0x4802, 32, kGuest},
	{"kGuestSsLimit", 0x4804, 32, kGuest},
	{"kGuestDsLimit", 0x4806, 32, kGuest},
	{"kGuestFsLimit", 0x4808, 32, kGuest},
	{"kGuestGsLimit", 0x480a, 32, kGuest},
	{"kGuestLdtrLimit", 0x480c, 32, kGuest},
	{"kGuestTrLimit", 0x480e, 32, kGuest},
	{"kGuestGdtrLimit", 0x4810, 32, kGuest},
	{"kGuestIdtrLimit", 0x4812, 32, kGuest},
	{"kGuestEsAccessRights", 0x4814, 32, kGuest},
	{"kGuestCsAccessRights", 0x4816, 32, kGuest},
	{"kGuestSsAccessRights", 0x4818, 32, kGuest},
	{"kGuestDsAccessRights", 0x481a, 32, kGuest},
	{"kGuestFsAccessRights", 0x481c, 32, kGuest},
	{"kGuestGsAccessRights", 0x481e, 32, kGuest},
	{"kGuestLdtrAccessRights", 0x4820, 32, kGuest},
	{"kGuestTrAccessRights", 0x4822, 32, kGuest},
	{"kGuestInterruptibilityState", 0x4824, 32, kGuest},
	{"kGuestActivityState", 0x4826, 32, kGuest},
	{"kGuestIa32SysenterCs", 0x482a, 32, kGuest},
	{"kHostIa32SysenterCs", 0x4c00, 32, kHost},
	// B.4, natural-width fields
	{"kCr0GuestHostMask", 0x6000, 64, kControl},
	{"kCr4GuestHostMask", 0x6002, 64, kControl},
	{"kCr0ReadShadow", 0x6004, 64, kControl},
	{"kCr4ReadShadow", 0x6006, 64, kControl},
	{"kExitQualification", 0x6400, 64, kExitInfo},
	{"kGuestLinearAddress", 0x640a, 64, kExitInfo},
	{"kGuestCr0", 0x6800, 64, kGuest},
	{"kGuestCr3", 0x6802, 64, kGuest},
	{"kGuestCr4", 0x6804, 64, kGuest},
	{"kGuestEsBase", 0x6806, 64, kGuest},
	{"kGuestCsBase", 0x6808, 64, kGuest},
	{"kGuestSsBase", 0x680a, 64, kGuest},
	{"kGuestDsBase", 0x680c, 64, kGuest},
	{"kGuestFsBase", 0x680e, 64, kGuest},
	{"kGuestGsBase", 0x6810, 64, kGuest},
	{"kGuestLdtrBase", 0x6812, 64, kGuest},
	{"kGuestTrBase", 0x6814, 64, kGuest},
	{"kGuestGdtrBase", 0x6816, 64, kGuest},
	{"kGuestIdtrBase", 0x6818, 64, kGuest},
	{"kGuestDr7", 0x681a, 64, kGuest},
	{"kGuestRsp", 0x681c, 64, kGuest},
	{"kGuestRip", 0x681e, 64, kGuest},
	{"kGuestRflags", 0x6820, 64, kGuest},
	{"kGuestPendingDebugExceptions", 0x6822, 64, kGuest},
	{"kGuestIa32SysenterEsp", 0x6824, 64, kGuest},
	{"kGuestIa32SysenterEip", 0x6826, 64, kGuest},
	{"kHostCr0", 0x6c00, 64, kHost},
	{"kHostCr3", 0x6c02, 64, kHost},
	{"kHostCr4", 0x6c04, 64, kHost},
	{"kHostFsBase", 0x6c06, 64, kHost},
	{"kHostGsBase", 0x6c08, 64, kHost},
	{"kHostTrBase", 0x6c0a, 64, kHost},
	{"kHostGdtrBase", 0x6c0c, 64, kHost},
	{"kHostIdtrBase", 0x6c0e, 64, kHost},
	{"kHostIa32SysenterEsp", 0x6c10, 64, kHost},
	{"kHostIa32SysenterEip", 0x6c12, 64, kHost},
	{"kHostRsp", 0x6c14, 64, kHost},
	{"kHostRip", 0x6c16, 64, kHost},
});

// Maps an encoding to its place in the table: the model VMCS looks up fields millions of times.
constexpr u8 kNoSdmField = 0xff;
static_assert(kSdmFields.size() < kNoSdmField);

inline constexpr auto kSdmFieldPlaces = [] {
	std::array<u8, 0x8000> places;
	places.fill(kNoSdmField);
	for (std::size_t place = 0; place < kSdmFields.size(); place++)
		places[kSdmFields[place].encoding] = static_cast<u8>(place);
	return places;
}();

// Null if the SDM has no such field or the tests do not need it.
constexpr const SdmField* find_sdm_field(u32 encoding)
{
	if (encoding >= kSdmFieldPlaces.size() || kSdmFieldPlaces[encoding] == kNoSdmField)
		return nullptr;
	return &kSdmFields[kSdmFieldPlaces[encoding]];
}

constexpr u64 width_mask(u32 bits) { return bits == 64 ? ~u64{0} : (u64{1} << bits) - 1; }

}  // namespace vregcache::test
