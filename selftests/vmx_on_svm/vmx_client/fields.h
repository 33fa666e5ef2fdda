// SPDX-License-Identifier: GPL-2.0
// VMCS field encodings, SDM Vol. 3D, Appendix B, and control bits, Vol. 3C, chapter 25.
#ifndef VMX_CLIENT_FIELDS_H
#define VMX_CLIENT_FIELDS_H

namespace {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long;

// clang-format off
enum Field : u32 {
	kVpid = 0x0000,
	kGuestEsSelector = 0x0800, kGuestCsSelector = 0x0802,
	kHostEsSelector = 0x0c00, kHostCsSelector = 0x0c02, kHostSsSelector = 0x0c04, kHostDsSelector = 0x0c06,
	kHostFsSelector = 0x0c08, kHostGsSelector = 0x0c0a, kHostTrSelector = 0x0c0c,
	kIoBitmapA = 0x2000, kIoBitmapB = 0x2002, kMsrBitmap = 0x2004, kExitMsrStoreAddress = 0x2006,
	kExitMsrLoadAddress = 0x2008, kEntryMsrLoadAddress = 0x200a, kTscOffset = 0x2010,
	kVirtualApicAddress = 0x2012, kEptPointer = 0x201a, kTscMultiplier = 0x2032,
	kGuestPhysicalAddress = 0x2400,
	kLinkPointer = 0x2800, kGuestDebugControl = 0x2802, kGuestPat = 0x2804, kGuestEfer = 0x2806,
	kGuestPdpte0 = 0x280a,
	kHostPat = 0x2c00, kHostEfer = 0x2c02,
	kPinControls = 0x4000, kProcControls = 0x4002, kExceptionBitmap = 0x4004, kPageFaultMask = 0x4006,
	kPageFaultMatch = 0x4008, kCr3TargetCount = 0x400a, kExitControls = 0x400c, kExitMsrStoreCount = 0x400e,
	kExitMsrLoadCount = 0x4010, kEntryControls = 0x4012, kEntryMsrLoadCount = 0x4014, kEntryInfo = 0x4016,
	kEntryError = 0x4018, kEntryLength = 0x401a, kTprThreshold = 0x401c, kProc2Controls = 0x401e, kPleGap = 0x4020,
	kPleWindow = 0x4022,
	kInstructionError = 0x4400, kExitReason = 0x4402, kExitInfo = 0x4404, kExitError = 0x4406,
	kVectoringInfo = 0x4408, kVectoringError = 0x440a, kExitLength = 0x440c, kInstructionInfo = 0x440e,
	kGuestEsLimit = 0x4800, kGuestGdtrLimit = 0x4810, kGuestIdtrLimit = 0x4812, kGuestEsAccess = 0x4814,
	kGuestCsAccess = 0x4816, kGuestSsAccess = 0x4818, kGuestDsAccess = 0x481a, kGuestLdtrAccess = 0x4820,
	kGuestTrAccess = 0x4822,
	kInterruptibility = 0x4824, kActivity = 0x4826, kGuestSysenterCs = 0x482a, kPreemptionTimer = 0x482e,
	kHostSysenterCs = 0x4c00,
	kCr0Mask = 0x6000, kCr4Mask = 0x6002, kCr0Shadow = 0x6004, kCr4Shadow = 0x6006, kCr3Target0 = 0x6008,
	kQualification = 0x6400, kGuestLinearAddress = 0x640a,
	kGuestCr0 = 0x6800, kGuestCr3 = 0x6802, kGuestCr4 = 0x6804, kGuestEsBase = 0x6806, kGuestGdtrBase = 0x6816,
	kGuestIdtrBase = 0x6818, kGuestDr7 = 0x681a, kGuestRsp = 0x681c, kGuestRip = 0x681e, kGuestRflags = 0x6820,
	kPendingDebug = 0x6822, kGuestSysenterEsp = 0x6824, kGuestSysenterEip = 0x6826,
	kHostCr0 = 0x6c00, kHostCr3 = 0x6c02, kHostCr4 = 0x6c04, kHostFsBase = 0x6c06, kHostGsBase = 0x6c08,
	kHostTrBase = 0x6c0a, kHostGdtrBase = 0x6c0c, kHostIdtrBase = 0x6c0e, kHostSysenterEsp = 0x6c10,
	kHostSysenterEip = 0x6c12, kHostRsp = 0x6c14, kHostRip = 0x6c16,
};
// clang-format on

constexpr u64 bit(unsigned number) { return u64{1} << number; }

constexpr u64 kPinInterrupts = bit(0), kPinNmis = bit(3), kPinVirtualNmis = bit(5), kPinPreemptionTimer = bit(6);
constexpr u64 kProcInterruptWindow = bit(2), kProcTscOffset = bit(3), kProcHlt = bit(7), kProcInvlpg = bit(9),
	      kProcMwait = bit(10), kProcRdpmc = bit(11), kProcRdtsc = bit(12), kProcCr3Load = bit(15),
	      kProcCr3Store = bit(16), kProcCr8Load = bit(19), kProcCr8Store = bit(20), kProcTprShadow = bit(21),
	      kProcNmiWindow = bit(22), kProcMovDr = bit(23), kProcIo = bit(24), kProcIoBitmaps = bit(25),
	      kProcMonitorTrapFlag = bit(27), kProcMsrBitmaps = bit(28), kProcMonitor = bit(29), kProcPause = bit(30),
	      kProcSecondary = bit(31);
constexpr u64 kProc2Ept = bit(1), kProc2Rdtscp = bit(3), kProc2Vpid = bit(5), kProc2Wbinvd = bit(6),
	      kProc2Unrestricted = bit(7), kProc2PauseLoop = bit(10), kProc2TscScaling = bit(25);
constexpr u64 kExitSaveDebug = bit(2), kExitHost64 = bit(9), kExitAcknowledge = bit(15), kExitSavePat = bit(18),
	      kExitLoadPat = bit(19), kExitSaveEfer = bit(20), kExitLoadEfer = bit(21),
	      kExitSavePreemptionTimer = bit(22);
constexpr u64 kEntryLoadDebug = bit(2), kEntryIa32e = bit(9), kEntryLoadPat = bit(14), kEntryLoadEfer = bit(15);

constexpr u32 kInfoValid = bit(31);
constexpr u32 kFailedEntry = bit(31);
constexpr u32 kUnusable = bit(16);

}  // namespace

#endif
