// SPDX-License-Identifier: GPL-2.0
// The VMCS fields in use, by the SDM's names (Vol. 3D, Appendix B), in the order of their encodings.
#pragma once

#include "vmcs_field.h"

namespace vregcache {

// 16-bit control, guest-state and host-state fields
constexpr Field<0x0000> kVirtualProcessorId{};
constexpr Field<0x0800> kGuestEsSelector{};
constexpr Field<0x0802> kGuestCsSelector{};
constexpr Field<0x0804> kGuestSsSelector{};
constexpr Field<0x0806> kGuestDsSelector{};
constexpr Field<0x0808> kGuestFsSelector{};
constexpr Field<0x080a> kGuestGsSelector{};
constexpr Field<0x080c> kGuestLdtrSelector{};
constexpr Field<0x080e> kGuestTrSelector{};
constexpr Field<0x0c00> kHostEsSelector{};
constexpr Field<0x0c02> kHostCsSelector{};
constexpr Field<0x0c04> kHostSsSelector{};
constexpr Field<0x0c06> kHostDsSelector{};
constexpr Field<0x0c08> kHostFsSelector{};
constexpr Field<0x0c0a> kHostGsSelector{};
constexpr Field<0x0c0c> kHostTrSelector{};

// 64-bit fields
constexpr Field<0x2000> kIoBitmapA{};
constexpr Field<0x2002> kIoBitmapB{};
constexpr Field<0x2004> kMsrBitmaps{};
constexpr Field<0x2006> kVmExitMsrStoreAddress{};
constexpr Field<0x2008> kVmExitMsrLoadAddress{};
constexpr Field<0x200a> kVmEntryMsrLoadAddress{};
constexpr Field<0x2010> kTscOffset{};
constexpr Field<0x201a> kEptPointer{};
constexpr Field<0x202e> kEnclsExitingBitmap{};
constexpr Field<0x2400> kGuestPhysicalAddress{};
constexpr Field<0x2800> kVmcsLinkPointer{};
constexpr Field<0x2802> kGuestIa32Debugctl{};
constexpr Field<0x2804> kGuestIa32Pat{};
constexpr Field<0x2806> kGuestIa32Efer{};
constexpr Field<0x280a> kGuestPdpte0{};
constexpr Field<0x280c> kGuestPdpte1{};
constexpr Field<0x280e> kGuestPdpte2{};
constexpr Field<0x2810> kGuestPdpte3{};
constexpr Field<0x2c00> kHostIa32Pat{};
constexpr Field<0x2c02> kHostIa32Efer{};

// 32-bit control fields
constexpr Field<0x4000> kPinBasedControls{};
constexpr Field<0x4002> kPrimaryProcessorBasedControls{};
constexpr Field<0x4004> kExceptionBitmap{};
constexpr Field<0x4006> kPageFaultErrorCodeMask{};
constexpr Field<0x4008> kPageFaultErrorCodeMatch{};
constexpr Field<0x400a> kCr3TargetCount{};
constexpr Field<0x400c> kVmExitControls{};
constexpr Field<0x400e> kVmExitMsrStoreCount{};
constexpr Field<0x4010> kVmExitMsrLoadCount{};
constexpr Field<0x4012> kVmEntryControls{};
constexpr Field<0x4014> kVmEntryMsrLoadCount{};
constexpr Field<0x4016> kVmEntryInterruptionInformation{};
constexpr Field<0x4018> kVmEntryExceptionErrorCode{};
constexpr Field<0x401a> kVmEntryInstructionLength{};
constexpr Field<0x401e> kSecondaryProcessorBasedControls{};

// 32-bit exit information
constexpr Field<0x4400> kVmInstructionError{};
constexpr Field<0x4402> kExitReason{};
constexpr Field<0x4404> kExitInterruptionInformation{};
constexpr Field<0x4406> kExitInterruptionErrorCode{};
constexpr Field<0x4408> kIdtVectoringInformation{};
constexpr Field<0x440a> kIdtVectoringErrorCode{};
constexpr Field<0x440c> kExitInstructionLength{};
constexpr Field<0x440e> kExitInstructionInformation{};

// 32-bit guest and host state
constexpr Field<0x4800> kGuestEsLimit{};
constexpr Field<0x4802> kGuestCsLimit{};
constexpr Field<0x4804> kGuestSsLimit{};
constexpr Field<0x4806> kGuestDsLimit{};
constexpr Field<0x4808> kGuestFsLimit{};
constexpr Field<0x480a> kGuestGsLimit{};
constexpr Field<0x480c> kGuestLdtrLimit{};
constexpr Field<0x480e> kGuestTrLimit{};
constexpr Field<0x4810> kGuestGdtrLimit{};
constexpr Field<0x4812> kGuestIdtrLimit{};
constexpr Field<0x4814> kGuestEsAccessRights{};
constexpr Field<0x4816> kGuestCsAccessRights{};
constexpr Field<0x4818> kGuestSsAccessRights{};
constexpr Field<0x481a> kGuestDsAccessRights{};
constexpr Field<0x481c> kGuestFsAccessRights{};
constexpr Field<0x481e> kGuestGsAccessRights{};
constexpr Field<0x4820> kGuestLdtrAccessRights{};
constexpr Field<0x4822> kGuestTrAccessRights{};
constexpr Field<0x4824> kGuestInterruptibilityState{};
constexpr Field<0x4826> kGuestActivityState{};
constexpr Field<0x482a> kGuestIa32SysenterCs{};
constexpr Field<0x4c00> kHostIa32SysenterCs{};

// natural-width fields
constexpr Field<0x6000> kCr0GuestHostMask{};
constexpr Field<0x6002> kCr4GuestHostMask{};
constexpr Field<0x6004> kCr0ReadShadow{};
constexpr Field<0x6006> kCr4ReadShadow{};
constexpr Field<0x6400> kExitQualification{};
constexpr Field<0x640a> kGuestLinearAddress{};
constexpr Field<0x6800> kGuestCr0{};
constexpr Field<0x6802> kGuestCr3{};
constexpr Field<0x6804> kGuestCr4{};
constexpr Field<0x6806> kGuestEsBase{};
constexpr Field<0x6808> kGuestCsBase{};
constexpr Field<0x680a> kGuestSsBase{};
constexpr Field<0x680c> kGuestDsBase{};
constexpr Field<0x680e> kGuestFsBase{};
constexpr Field<0x6810> kGuestGsBase{};
constexpr Field<0x6812> kGuestLdtrBase{};
constexpr Field<0x6814> kGuestTrBase{};
constexpr Field<0x6816> kGuestGdtrBase{};
constexpr Field<0x6818> kGuestIdtrBase{};
constexpr Field<0x681a> kGuestDr7{};
constexpr Field<0x681c> kGuestRsp{};
constexpr Field<0x681e> kGuestRip{};
constexpr Field<0x6820> kGuestRflags{};
constexpr Field<0x6822> kGuestPendingDebugExceptions{};
constexpr Field<0x6824> kGuestIa32SysenterEsp{};
constexpr Field<0x6826> kGuestIa32SysenterEip{};
constexpr Field<0x6c00> kHostCr0{};
constexpr Field<0x6c02> kHostCr3{};
constexpr Field<0x6c04> kHostCr4{};
constexpr Field<0x6c06> kHostFsBase{};
constexpr Field<0x6c08> kHostGsBase{};
constexpr Field<0x6c0a> kHostTrBase{};
constexpr Field<0x6c0c> kHostGdtrBase{};
constexpr Field<0x6c0e> kHostIdtrBase{};
constexpr Field<0x6c10> kHostIa32SysenterEsp{};
constexpr Field<0x6c12> kHostIa32SysenterEip{};
constexpr Field<0x6c14> kHostRsp{};
constexpr Field<0x6c16> kHostRip{};

}  // namespace vregcache
