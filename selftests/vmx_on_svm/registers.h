// SPDX-License-Identifier: GPL-2.0
// Bits of control registers, flags and MSRs; numbers of general-purpose registers and exceptions. SDM Vol. 3A,
// chapter 2.
#ifndef VMX_ON_SVM_REGISTERS_H
#define VMX_ON_SVM_REGISTERS_H

#include "types.h"

namespace {

// clang-format off
enum GeneralRegister : unsigned {
	kRax, kRcx, kRdx, kRbx, kRsp, kRbp, kRsi, kRdi, kR8, kR9, kR10, kR11, kR12, kR13, kR14, kR15,
};
// clang-format on

enum Segment : unsigned { kEs, kCs, kSs, kDs, kFs, kGs, kLdtr, kTr, kSegmentCount };

// clang-format off
enum Exception : unsigned {
	kDivideError = 0, kDebug = 1, kNmi = 2, kBreakpoint = 3, kOverflow = 4, kInvalidOpcode = 6, kDoubleFault = 8,
	kInvalidTss = 10, kSegmentNotPresent = 11, kStackFault = 12, kGeneralProtection = 13, kPageFault = 14,
	kAlignmentCheck = 17, kControlProtection = 21,
};
// clang-format on

// Exceptions that push an error code in protected mode.
constexpr bool has_error_code(unsigned vector)
{
	return vector == kDoubleFault || (vector >= kInvalidTss && vector <= kPageFault) || vector == kAlignmentCheck;
}

constexpr u64 kFlagCarry = bit(0);
constexpr u64 kFlagReserved1 = bit(1);
constexpr u64 kFlagParity = bit(2);
constexpr u64 kFlagAdjust = bit(4);
constexpr u64 kFlagZero = bit(6);
constexpr u64 kFlagSign = bit(7);
constexpr u64 kFlagTrap = bit(8);
constexpr u64 kFlagInterrupt = bit(9);
constexpr u64 kFlagOverflow = bit(11);
constexpr u64 kFlagIoPrivilege = bits(12, 13);
constexpr u64 kFlagResume = bit(16);
constexpr u64 kFlagVirtual8086 = bit(17);
constexpr u64 kFlagAlignment = bit(18);
constexpr u64 kFlagsReserved = bit(3) | bit(5) | bit(15) | bits(22, 63);

constexpr u64 kCr0ProtectionEnable = bit(0);
constexpr u64 kCr0TaskSwitched = bit(3);
constexpr u64 kCr0ExtensionType = bit(4);
constexpr u64 kCr0NumericError = bit(5);
constexpr u64 kCr0WriteProtect = bit(16);
constexpr u64 kCr0NotWriteThrough = bit(29);
constexpr u64 kCr0CacheDisable = bit(30);
constexpr u64 kCr0Paging = bit(31);
constexpr u64 kCr0Defined = bits(0, 5) | bit(16) | bit(18) | bits(29, 31);

constexpr u64 kCr4TimeStampDisable = bit(2);
constexpr u64 kCr4PageSizeExtensions = bit(4);
constexpr u64 kCr4PhysicalAddressExtension = bit(5);
constexpr u64 kCr4PerformanceCounters = bit(8);
constexpr u64 kCr4La57 = bit(12);
constexpr u64 kCr4Vmxe = bit(13);
constexpr u64 kCr4Pcide = bit(17);
constexpr u64 kCr4OsXsave = bit(18);
constexpr u64 kCr4Smap = bit(21);
constexpr u64 kCr4Pke = bit(22);

constexpr u64 kEferSyscall = bit(0);
constexpr u64 kEferLongMode = bit(8);
constexpr u64 kEferLongModeActive = bit(10);
constexpr u64 kEferNoExecute = bit(11);
constexpr u64 kEferSvme = bit(12);

constexpr u64 kDr6Breakpoints = bits(0, 3);
constexpr u64 kDr6SingleStep = bit(14);
constexpr u64 kDr6Fixed1 = 0xffff0ff0;
constexpr u64 kDr6GeneralDetect = bit(13);
constexpr u64 kDr6Reported = bits(0, 3) | bit(13) | bit(14);
constexpr u64 kDr7Fixed1 = bit(10);
constexpr u64 kDr7Fixed0 = bit(11) | bit(12) | bit(14) | bit(15);

enum Msr : u32 {
	kMsrTimeStampCounter = 0x10,
	kMsrApicBase = 0x1b,
	kMsrFeatureControl = 0x3a,
	kMsrSmmMonitorControl = 0x9b,
	kMsrArchCapabilities = 0x10a,
	kMsrSysenterCs = 0x174,
	kMsrSysenterEsp = 0x175,
	kMsrSysenterEip = 0x176,
	kMsrDebugControl = 0x1d9,
	kMsrPat = 0x277,
	kMsrVmxBasic = 0x480,
	kMsrVmxLast = 0x491,
	kMsrX2apicFirst = 0x800,
	kMsrX2apicInterruptCommand = 0x830,
	kMsrX2apicLast = 0x8ff,
	kMsrEfer = 0xc0000080,
	kMsrSyscallMask = 0xc0000084,
	kMsrFsBase = 0xc0000100,
	kMsrGsBase = 0xc0000101,
	kMsrTscAux = 0xc0000103,
	kMsrVmCr = 0xc0010114,
	kMsrVmHsavePa = 0xc0010117,
};

constexpr u64 kVmCrSvmDisabled = bit(4);

}  // namespace

#endif
