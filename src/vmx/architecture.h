// SPDX-License-Identifier: GPL-2.0
// Architectural constants by their SDM names: MSRs, bits of registers and of VMX capabilities, exception vectors.
#pragma once

#include "vmx/types.h"

namespace {

namespace msr {
enum : u32 {
	kTimeStampCounter = 0x10,
	kApicBase = 0x1b,
	kFeatureControl = 0x3a,
	kArchCapabilities = 0x10a,
	kFlushCommand = 0x10b,
	kTsxCtrl = 0x122,
	kSysenterCs = 0x174,
	kSysenterEsp = 0x175,
	kSysenterEip = 0x176,
	kDebugctl = 0x1d9,
	kPat = 0x277,
	kVmxBasic = 0x480,
	kVmxPinbased = 0x481,
	kVmxProcbased = 0x482,
	kVmxExit = 0x483,
	kVmxEntry = 0x484,
	kVmxMisc = 0x485,
	kVmxCr0Fixed0 = 0x486,
	kVmxCr0Fixed1 = 0x487,
	kVmxCr4Fixed0 = 0x488,
	kVmxCr4Fixed1 = 0x489,
	kVmxProcbased2 = 0x48b,
	kVmxEptVpid = 0x48c,
	kVmxTruePinbased = 0x48d,
	kVmxTrueProcbased = 0x48e,
	kVmxTrueExit = 0x48f,
	kVmxTrueEntry = 0x490,
	kEfer = 0xc0000080,
	kStar = 0xc0000081,
	kLstar = 0xc0000082,
	kCstar = 0xc0000083,
	kSfmask = 0xc0000084,
	kFsBase = 0xc0000100,
	kGsBase = 0xc0000101,
	kKernelGsBase = 0xc0000102,
	kTscAux = 0xc0000103,
};
}  // namespace msr

namespace cr0 {
constexpr u64 kPe = 1u << 0, kMp = 1u << 1, kEm = 1u << 2, kTs = 1u << 3, kEt = 1u << 4, kNe = 1u << 5, kWp = 1u << 16,
	      kAm = 1u << 18, kNw = 1u << 29, kCd = 1u << 30, kPg = 1u << 31;
constexpr u64 kDefined = kPe | kMp | kEm | kTs | kEt | kNe | kWp | kAm | kNw | kCd | kPg;
}  // namespace cr0

namespace cr4 {
constexpr u64 kVme = 1u << 0, kPvi = 1u << 1, kTsd = 1u << 2, kDe = 1u << 3, kPse = 1u << 4, kPae = 1u << 5,
	      kMce = 1u << 6, kPge = 1u << 7, kPce = 1u << 8, kOsfxsr = 1u << 9, kOsxmmexcpt = 1u << 10,
	      kUmip = 1u << 11, kLa57 = 1u << 12, kVmxe = 1u << 13, kFsgsbase = 1u << 16, kPcide = 1u << 17,
	      kOsxsave = 1u << 18, kSmep = 1u << 20, kSmap = 1u << 21, kPke = 1u << 22, kCet = 1u << 23;
}  // namespace cr4

namespace efer {
constexpr u64 kSce = 1u << 0, kLme = 1u << 8, kLma = 1u << 10, kNxe = 1u << 11;
constexpr u64 kDefined = kSce | kLme | kLma | kNxe;
}  // namespace efer

namespace rflags {
constexpr u64 kFixed = 1u << 1, kTf = 1u << 8, kIf = 1u << 9, kDf = 1u << 10, kRf = 1u << 16, kVm = 1u << 17,
	      kAc = 1u << 18;
constexpr u64 kReserved = ~u64{0x3fffff} | 1u << 15 | 1u << 5 | 1u << 3;
}  // namespace rflags

// IA32_DEBUGCTL (SDM Vol. 3B, 18.4.1)
namespace debugctl {
constexpr u64 kLbr = 1u << 0, kBtf = 1u << 1, kFreezeWhileSmm = 1u << 14;
}  // namespace debugctl

// IA32_APIC_BASE (SDM Vol. 3A, 11.4.4)
namespace apic_base {
constexpr u64 kBootstrapProcessor = 1u << 8, kX2apic = 1u << 10, kEnabled = 1u << 11;
constexpr u64 kReserved = 0x2ff;
constexpr u64 kDefaultAddress = 0xfee00000;
}  // namespace apic_base

// DR6 and DR7 (SDM Vol. 3B, 18.2)
namespace dr6 {
constexpr u64 kBreakpoints = 0xf, kAccessDetected = 1u << 13, kSingleStep = 1u << 14, kRtm = 1u << 16;
constexpr u64 kFixedOnes = 0xfffe0ff0, kWritable = 0x1e00f;
constexpr u64 kAfterReset = kFixedOnes | kRtm;  // SDM Vol. 3A, table 10-1
}  // namespace dr6

namespace dr7 {
constexpr u64 kEnableAny = 0xff, kFixedOnes = 1u << 10, kGeneralDetect = 1u << 13;
}

// The interruptibility state (SDM Vol. 3C, table 25-3).
namespace interruptibility {
constexpr u32 kBlockingBySti = 1u << 0, kBlockingByMovSs = 1u << 1, kBlockingBySmi = 1u << 2, kBlockingByNmi = 1u << 3,
	      kEnclave = 1u << 4;
constexpr u32 kInterruptShadow = kBlockingBySti | kBlockingByMovSs;
}  // namespace interruptibility

// The activity state (SDM Vol. 3C, 25.4.2).
namespace activity_state {
constexpr u64 kActive = 0, kHlt = 1, kShutdown = 2, kWaitForSipi = 3;
}

// The guest's pending debug exceptions (SDM Vol. 3C, table 25-4).
namespace pending_debug {
constexpr u64 kBreakpoints = 0xf, kBusLock = 1u << 11, kEnabledBreakpoint = 1u << 12, kSingleStep = 1u << 14,
	      kRtm = 1u << 16;
}

// The page-directory-pointer-table entries of PAE paging (SDM Vol. 3A, table 4-8), without the physical-address width
namespace pdpte {
constexpr u64 kPresent = 1u << 0, kReserved = 0x1e6;
}

// The error code of a page fault (SDM Vol. 3A, 4.7)
namespace page_fault {
constexpr u32 kPresent = 1u << 0, kWrite = 1u << 1, kUser = 1u << 2, kReserved = 1u << 3, kFetch = 1u << 4;
}

namespace xcr0 {
constexpr u64 kX87 = 1u << 0, kSse = 1u << 1, kAvx = 1u << 2, kOpmask = 1u << 5, kZmmHigh256 = 1u << 6,
	      kHigh16Zmm = 1u << 7, kPkru = 1u << 9;
constexpr u64 kAvx512 = kOpmask | kZmmHigh256 | kHigh16Zmm;
}  // namespace xcr0

namespace vector {
// clang-format off
enum : u8 {
	kDivideError = 0, kDebug = 1, kNmi = 2, kBreakpoint = 3, kOverflow = 4, kInvalidOpcode = 6, kDoubleFault = 8,
	kInvalidTss = 10, kSegmentNotPresent = 11, kStackFault = 12, kGeneralProtection = 13, kPageFault = 14,
	kAlignmentCheck = 17, kMachineCheck = 18,
};
// clang-format on
}  // namespace vector

// IA32_VMX_BASIC (SDM Vol. 3D, A.1)
namespace vmx_basic {
constexpr u64 kTrueControls = u64{1} << 55;
constexpr u64 kErrorCodeWithAnyVector = u64{1} << 56;  // VM-entry may inject a hardware exception with or without one
}  // namespace vmx_basic

// IA32_VMX_EPT_VPID_CAP (SDM Vol. 3D, A.10)
namespace ept_capability {
constexpr u64 kPageWalk4 = 1u << 6, kPageWalk5 = 1u << 7, kUncacheable = 1u << 8, kWriteBack = 1u << 14,
	      kInvept = 1u << 20, kAccessedAndDirty = 1u << 21, kShadowStack = 1u << 23, kInveptSingle = 1u << 25,
	      kInveptAll = 1u << 26;
}

// Memory types (SDM Vol. 3A, table 12-2)
namespace memory_type {
constexpr u64 kUncacheable = 0, kWriteBack = 6;
}

// Each byte of IA32_PAT is one of these (SDM Vol. 3A, 12.12.2).
constexpr bool is_pat_memory_type(u64 type) { return type <= 7 && type != 2 && type != 3; }

// Exceptions that push an error code (SDM Vol. 3A, table 6-1).
constexpr bool has_error_code(u8 number)
{
	return number == vector::kDoubleFault || (number >= vector::kInvalidTss && number <= vector::kPageFault) ||
	       number == vector::kAlignmentCheck;
}

// Whether a linear address is canonical for @width bits (48, or 57 with CR4.LA57).
constexpr bool is_canonical(u64 address, u32 width)
{
	u32 shift = 64 - width;
	return static_cast<u64>(static_cast<long long>(address << shift) >> shift) == address;
}

}  // namespace
