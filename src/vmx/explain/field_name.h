// SPDX-License-Identifier: GPL-2.0
// VMCS fields by the SDM's names (Vol. 3C, 25.4 to 25.9), for messages.
#pragma once

#include "vmx/types.h"

namespace {

constexpr const char* field_name(u32 encoding)
{
#define VRC_NAME(field, name)            \
	case vregcache::field.kEncoding: \
		return name
// The four parts of a guest segment register.
#define VRC_SEGMENT_NAMES(Segment, name)                                \
	VRC_NAME(kGuest##Segment##Selector, "guest " name " selector"); \
	VRC_NAME(kGuest##Segment##Base, "guest " name " base");         \
	VRC_NAME(kGuest##Segment##Limit, "guest " name " limit");       \
	VRC_NAME(kGuest##Segment##AccessRights, "guest " name " access rights")

	switch (encoding) {
		VRC_NAME(kVirtualProcessorId, "virtual-processor identifier");
		VRC_NAME(kPinBasedControls, "pin-based VM-execution controls");
		VRC_NAME(kPrimaryProcessorBasedControls, "primary processor-based VM-execution controls");
		VRC_NAME(kSecondaryProcessorBasedControls, "secondary processor-based VM-execution controls");
		VRC_NAME(kExceptionBitmap, "exception bitmap");
		VRC_NAME(kPageFaultErrorCodeMask, "page-fault error-code mask");
		VRC_NAME(kPageFaultErrorCodeMatch, "page-fault error-code match");
		VRC_NAME(kCr3TargetCount, "CR3-target count");
		VRC_NAME(kIoBitmapA, "address of I/O bitmap A");
		VRC_NAME(kIoBitmapB, "address of I/O bitmap B");
		VRC_NAME(kMsrBitmaps, "address of MSR bitmaps");
		VRC_NAME(kTscOffset, "TSC offset");
		VRC_NAME(kEptPointer, "EPT pointer");
		VRC_NAME(kEnclsExitingBitmap, "ENCLS-exiting bitmap");
		VRC_NAME(kCr0GuestHostMask, "CR0 guest/host mask");
		VRC_NAME(kCr4GuestHostMask, "CR4 guest/host mask");
		VRC_NAME(kCr0ReadShadow, "CR0 read shadow");
		VRC_NAME(kCr4ReadShadow, "CR4 read shadow");

		VRC_NAME(kVmExitControls, "VM-exit controls");
		VRC_NAME(kVmExitMsrStoreCount, "VM-exit MSR-store count");
		VRC_NAME(kVmExitMsrStoreAddress, "VM-exit MSR-store address");
		VRC_NAME(kVmExitMsrLoadCount, "VM-exit MSR-load count");
		VRC_NAME(kVmExitMsrLoadAddress, "VM-exit MSR-load address");

		VRC_NAME(kVmEntryControls, "VM-entry controls");
		VRC_NAME(kVmEntryMsrLoadCount, "VM-entry MSR-load count");
		VRC_NAME(kVmEntryMsrLoadAddress, "VM-entry MSR-load address");
		VRC_NAME(kVmEntryInterruptionInformation, "VM-entry interruption information");
		VRC_NAME(kVmEntryExceptionErrorCode, "VM-entry exception error code");
		VRC_NAME(kVmEntryInstructionLength, "VM-entry instruction length");

		VRC_NAME(kHostCr0, "host CR0");
		VRC_NAME(kHostCr3, "host CR3");
		VRC_NAME(kHostCr4, "host CR4");
		VRC_NAME(kHostRsp, "host RSP");
		VRC_NAME(kHostRip, "host RIP");
		VRC_NAME(kHostEsSelector, "host ES selector");
		VRC_NAME(kHostCsSelector, "host CS selector");
		VRC_NAME(kHostSsSelector, "host SS selector");
		VRC_NAME(kHostDsSelector, "host DS selector");
		VRC_NAME(kHostFsSelector, "host FS selector");
		VRC_NAME(kHostGsSelector, "host GS selector");
		VRC_NAME(kHostTrSelector, "host TR selector");
		VRC_NAME(kHostFsBase, "host FS base");
		VRC_NAME(kHostGsBase, "host GS base");
		VRC_NAME(kHostTrBase, "host TR base");
		VRC_NAME(kHostGdtrBase, "host GDTR base");
		VRC_NAME(kHostIdtrBase, "host IDTR base");
		VRC_NAME(kHostIa32SysenterCs, "host IA32_SYSENTER_CS");
		VRC_NAME(kHostIa32SysenterEsp, "host IA32_SYSENTER_ESP");
		VRC_NAME(kHostIa32SysenterEip, "host IA32_SYSENTER_EIP");
		VRC_NAME(kHostIa32Pat, "host IA32_PAT");
		VRC_NAME(kHostIa32Efer, "host IA32_EFER");

		VRC_NAME(kGuestCr0, "guest CR0");
		VRC_NAME(kGuestCr3, "guest CR3");
		VRC_NAME(kGuestCr4, "guest CR4");
		VRC_NAME(kGuestDr7, "guest DR7");
		VRC_NAME(kGuestRsp, "guest RSP");
		VRC_NAME(kGuestRip, "guest RIP");
		VRC_NAME(kGuestRflags, "guest RFLAGS");
		VRC_SEGMENT_NAMES(Es, "ES");
		VRC_SEGMENT_NAMES(Cs, "CS");
		VRC_SEGMENT_NAMES(Ss, "SS");
		VRC_SEGMENT_NAMES(Ds, "DS");
		VRC_SEGMENT_NAMES(Fs, "FS");
		VRC_SEGMENT_NAMES(Gs, "GS");
		VRC_SEGMENT_NAMES(Ldtr, "LDTR");
		VRC_SEGMENT_NAMES(Tr, "TR");
		VRC_NAME(kGuestGdtrBase, "guest GDTR base");
		VRC_NAME(kGuestGdtrLimit, "guest GDTR limit");
		VRC_NAME(kGuestIdtrBase, "guest IDTR base");
		VRC_NAME(kGuestIdtrLimit, "guest IDTR limit");
		VRC_NAME(kGuestIa32Debugctl, "guest IA32_DEBUGCTL");
		VRC_NAME(kGuestIa32SysenterCs, "guest IA32_SYSENTER_CS");
		VRC_NAME(kGuestIa32SysenterEsp, "guest IA32_SYSENTER_ESP");
		VRC_NAME(kGuestIa32SysenterEip, "guest IA32_SYSENTER_EIP");
		VRC_NAME(kGuestIa32Pat, "guest IA32_PAT");
		VRC_NAME(kGuestIa32Efer, "guest IA32_EFER");
		VRC_NAME(kGuestPdpte0, "guest PDPTE0");
		VRC_NAME(kGuestPdpte1, "guest PDPTE1");
		VRC_NAME(kGuestPdpte2, "guest PDPTE2");
		VRC_NAME(kGuestPdpte3, "guest PDPTE3");
		VRC_NAME(kGuestActivityState, "guest activity state");
		VRC_NAME(kGuestInterruptibilityState, "guest interruptibility state");
		VRC_NAME(kGuestPendingDebugExceptions, "guest pending debug exceptions");
		VRC_NAME(kVmcsLinkPointer, "VMCS link pointer");
	default:
		return "a field without a name here";
	}
#undef VRC_SEGMENT_NAMES
#undef VRC_NAME
}

}  // namespace
