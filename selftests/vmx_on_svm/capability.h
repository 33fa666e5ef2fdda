// SPDX-License-Identifier: GPL-2.0
// What the VMX CPU can do: control bits, and the capability MSRs that report them.  SDM Vol. 3D, Appendix A.
#ifndef VMX_ON_SVM_CAPABILITY_H
#define VMX_ON_SVM_CAPABILITY_H

#include "machine_instructions.h"
#include "vmcs.h"

namespace {

constexpr u64 kPinExternalInterruptExiting = bit(0);
constexpr u64 kPinNmiExiting = bit(3);
constexpr u64 kPinVirtualNmis = bit(5);
constexpr u64 kPinPreemptionTimer = bit(6);

constexpr u64 kProcInterruptWindowExiting = bit(2);
constexpr u64 kProcTscOffsetting = bit(3);
constexpr u64 kProcHltExiting = bit(7);
constexpr u64 kProcInvlpgExiting = bit(9);
constexpr u64 kProcMwaitExiting = bit(10);
constexpr u64 kProcRdpmcExiting = bit(11);
constexpr u64 kProcRdtscExiting = bit(12);
constexpr u64 kProcCr3LoadExiting = bit(15);
constexpr u64 kProcCr3StoreExiting = bit(16);
constexpr u64 kProcCr8LoadExiting = bit(19);
constexpr u64 kProcCr8StoreExiting = bit(20);
constexpr u64 kProcTprShadow = bit(21);
constexpr u64 kProcNmiWindowExiting = bit(22);
constexpr u64 kProcMovDrExiting = bit(23);
constexpr u64 kProcUnconditionalIoExiting = bit(24);
constexpr u64 kProcIoBitmaps = bit(25);
constexpr u64 kProcMonitorTrapFlag = bit(27);
constexpr u64 kProcMsrBitmaps = bit(28);
constexpr u64 kProcMonitorExiting = bit(29);
constexpr u64 kProcPauseExiting = bit(30);
constexpr u64 kProcSecondaryControls = bit(31);

constexpr u64 kProc2Ept = bit(1);
constexpr u64 kProc2Rdtscp = bit(3);
constexpr u64 kProc2Vpid = bit(5);
constexpr u64 kProc2WbinvdExiting = bit(6);
constexpr u64 kProc2UnrestrictedGuest = bit(7);
constexpr u64 kProc2PauseLoopExiting = bit(10);
constexpr u64 kProc2TscScaling = bit(25);

constexpr u64 kExitSaveDebugControls = bit(2);
constexpr u64 kExitHostAddressSpaceSize = bit(9);
constexpr u64 kExitAcknowledgeInterrupt = bit(15);
constexpr u64 kExitSavePat = bit(18);
constexpr u64 kExitLoadPat = bit(19);
constexpr u64 kExitSaveEfer = bit(20);
constexpr u64 kExitLoadEfer = bit(21);
constexpr u64 kExitSavePreemptionTimer = bit(22);

constexpr u64 kEntryLoadDebugControls = bit(2);
constexpr u64 kEntryIa32eMode = bit(9);
constexpr u64 kEntryLoadPat = bit(14);
constexpr u64 kEntryLoadEfer = bit(15);

// A group of controls: those that must be 1, those of them that the TRUE MSR lets be 0, and those that may be either.
struct ControlGroup {
	u64 default1;
	u64 true_may_clear;
	u64 optional;

	constexpr u64 may_be_1() const { return default1 | optional; }
	constexpr u64 true_must_be_1() const { return default1 & ~true_may_clear; }
	constexpr u64 msr() const { return may_be_1() << 32 | default1; }
	constexpr u64 true_msr() const { return may_be_1() << 32 | true_must_be_1(); }
	constexpr bool allows(u64 value) const { return !(true_must_be_1() & ~value) && !(value & ~may_be_1()); }
};

// The default1 classes: SDM Vol. 3D, Appendices A.3 to A.5.
constexpr ControlGroup kPinGroup = {
	0x16,
	0,
	kPinExternalInterruptExiting | kPinNmiExiting | kPinVirtualNmis | kPinPreemptionTimer,
};
constexpr ControlGroup kProcGroup = {
	0x0401e172,
	kProcCr3LoadExiting | kProcCr3StoreExiting,
	kProcInterruptWindowExiting | kProcTscOffsetting | kProcHltExiting | kProcInvlpgExiting | kProcMwaitExiting |
		kProcRdpmcExiting | kProcRdtscExiting | kProcCr8LoadExiting | kProcCr8StoreExiting | kProcTprShadow |
		kProcNmiWindowExiting | kProcMovDrExiting | kProcUnconditionalIoExiting | kProcIoBitmaps |
		kProcMonitorTrapFlag | kProcMsrBitmaps | kProcMonitorExiting | kProcPauseExiting |
		kProcSecondaryControls,
};
constexpr ControlGroup kProc2Group = {
	0,
	0,
	kProc2Ept | kProc2Rdtscp | kProc2Vpid | kProc2WbinvdExiting | kProc2UnrestrictedGuest | kProc2PauseLoopExiting |
		kProc2TscScaling,
};
constexpr ControlGroup kExitGroup = {
	0x36dff,
	kExitSaveDebugControls,
	kExitHostAddressSpaceSize | kExitAcknowledgeInterrupt | kExitSavePat | kExitLoadPat | kExitSaveEfer |
		kExitLoadEfer | kExitSavePreemptionTimer,
};
constexpr ControlGroup kEntryGroup = {
	0x11ff,
	kEntryLoadDebugControls,
	kEntryIa32eMode | kEntryLoadPat | kEntryLoadEfer,
};
static_assert(kProcGroup.true_must_be_1() == 0x04006172);
static_assert(kExitGroup.true_must_be_1() == 0x36dfb);
static_assert(kEntryGroup.true_must_be_1() == 0x11fb);

constexpr u64 kMemoryTypeUncacheable = 0;
constexpr u64 kMemoryTypeWriteBack = 6;

// IA32_VMX_BASIC: a region of 4 KiB, write-back; INS and OUTS report instruction information; TRUE MSRs exist.
constexpr u64 kVmxBasic = kVmcsRevision | kPageBytes << 32 | kMemoryTypeWriteBack << 50 | bit(54) | bit(55);

constexpr unsigned kCr3TargetCount = 4;
constexpr u64 kMiscStoresLma = bit(5);
constexpr u64 kMiscVmwriteAnyField = bit(29);
constexpr u64 kMiscActivityStates = bits(6, 8);  // HLT, shutdown, wait-for-SIPI
// The VMX-preemption timer counts down when this bit of the TSC changes.
constexpr unsigned kPreemptionTimerRate = 5;
constexpr u64 kVmxMisc = kPreemptionTimerRate | kMiscStoresLma | kMiscActivityStates | u64{kCr3TargetCount} << 16;

constexpr u64 kCr0Fixed0 = kCr0ProtectionEnable | kCr0NumericError | kCr0Paging;
constexpr u64 kCr0Fixed1 = 0xffffffff;
constexpr u64 kCr4Fixed0 = kCr4Vmxe;

// IA32_VMX_EPT_VPID_CAP: walks of 4 levels, UC and WB, pages of 2 MiB and 1 GiB, accessed and dirty flags, all types of INVEPT and INVVPID.
// Nested paging has no execute-only pages.
constexpr u64 kEptVpid = bit(6) | bit(8) | bit(14) | bit(16) | bit(17) | bit(20) | bit(21) | bit(25) | bit(26) |
			 bit(32) | bits(40, 43);

// Where reads of CR4 cannot be intercepted, CR4.VMXE reads as 0.  What software then writes, to CR4 or to a VMCS, says nothing about
// that bit: it is 1 from the first time on that software has set it.
bool g_cr4_hides_vmxe;

constexpr u64 kFeatureControlLocked = bit(0);
constexpr u64 kFeatureControlVmxOutsideSmx = bit(2);

// Facts about this CPU that the tables above cannot know.
struct CpuFacts {
	u64 cr4_may_be_1;
	unsigned physical_width;
	unsigned linear_width;  // that the CPU can have: for MSRs, segment bases and descriptor tables
	u64 absent_secondary;   // controls that are offered everywhere but here

	bool valid_physical(u64 address) const { return !(address >> physical_width); }
	bool canonical(u64 address) const
	{
		const unsigned unused = 64 - linear_width;
		return static_cast<u64>(static_cast<s64>(address << unused) >> unused) == address;
	}
};

// The bits of CR4 that CPUID announces.  SDM Vol. 3A, section 2.5.
inline CpuFacts read_cpu_facts()
{
	const CpuidResult features = cpuid(1);
	const CpuidResult extended = cpuid(7);
	struct {
		bool present;
		unsigned cr4_bit;
	} const optional[] = {
		{!!(extended.ecx & bit(2)), 11},   // UMIP
		{!!(extended.ecx & bit(16)), 12},  // LA57
		{!!(extended.ebx & bit(0)), 16},   // FSGSBASE
		{!!(features.ecx & bit(17)), 17},  // PCIDE
		{!!(features.ecx & bit(26)), 18},  // OSXSAVE
		{!!(extended.ebx & bit(7)), 20},   // SMEP
		{!!(extended.ebx & bit(20)), 21},  // SMAP
		{!!(extended.ecx & bit(3)), 22},   // PKE
		{!!(extended.ecx & bit(31)), 24},  // PKS
	};
	CpuFacts facts;
	facts.cr4_may_be_1 = bits(0, 10) | kCr4Vmxe;
	for (const auto& feature : optional) {
		if (feature.present)
			facts.cr4_may_be_1 |= bit(feature.cr4_bit);
	}
	facts.physical_width = cpuid(0x80000008).eax & 0xff;
	facts.linear_width = extended.ecx & bit(16) ? 57 : 48;
	return facts;
}

// A capability MSR; msr is between kMsrVmxBasic and kMsrVmxLast.
inline u64 read_capability(const CpuFacts& facts, u64 misc, u32 msr)
{
	switch (msr - kMsrVmxBasic) {
	case 0x0:
		return kVmxBasic;
	case 0x1:
		return kPinGroup.msr();
	case 0x2:
		return kProcGroup.msr();
	case 0x3:
		return kExitGroup.msr();
	case 0x4:
		return kEntryGroup.msr();
	case 0x5:
		return misc;
	case 0x6:
		return kCr0Fixed0;
	case 0x7:
		return kCr0Fixed1;
	case 0x8:
		return kCr4Fixed0;
	case 0x9:
		return facts.cr4_may_be_1;
	case 0xa:
		return kSlots.highest_index() << 1;
	case 0xb:
		return kProc2Group.msr() & ~(facts.absent_secondary << 32);
	case 0xc:
		return kEptVpid;
	case 0xd:
		return kPinGroup.true_msr();
	case 0xe:
		return kProcGroup.true_msr();
	case 0xf:
		return kExitGroup.true_msr();
	case 0x10:
		return kEntryGroup.true_msr();
	default:
		return 0;  // IA32_VMX_VMFUNC: none
	}
}

}  // namespace

#endif
