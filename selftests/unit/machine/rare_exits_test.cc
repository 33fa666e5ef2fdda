// SPDX-License-Identifier: GPL-2.0
// Exits and states that do not occur where the kselftests run: CPUs with other features, a host that detects split locks
// or freezes counters in SMM, and task work.
#include <vmx/architecture.h>
#include <vmx/types.h>

#include <cstring>

#include "exits.h"

namespace vregcache::test {
namespace {

using RareExits = VcpuFixture;

namespace secondary_control {
constexpr u32 kRdtscp = 1u << 3, kRdrandExiting = 1u << 11, kEnclsExiting = 1u << 15, kRdseedExiting = 1u << 16;
}

// ---- task work ----

TEST_F(RareExits, TaskWorkIsDoneWithoutTheGuestsFpuAndTheGuestGoesOn)
{
	u32 done = 0;
	host_.task_work = [&] {
		done++;
		return false;
	};
	machine_.run_to_hlt();
	EXPECT_EQ(done, 1u);
}

TEST_F(RareExits, TaskWorkThatSendsASignalEndsTheRun)
{
	host_.task_work = [] { return true; };
	EXPECT_EQ(machine_.run_vcpu(), -EINTR);
	EXPECT_EQ(machine_.run().exit_reason, static_cast<u32>(KVM_EXIT_INTR));
	EXPECT_EQ(guest_.entry_count(), 0u);
	machine_.run_to_hlt();
}

// ---- instructions that the guest's CPU does not have ----

TEST_F(RareExits, InstructionsThatExitWithoutBeingAnnouncedAreUndefined)
{
	// RDRAND, ENCLS, RDSEED, SEAMCALL, TDCALL (SDM Vol. 3D, Appendix C).
	for (u32 reason : {57u, 60u, 61u, 76u, 77u}) {
		guest_.then(exit_for_instruction(reason, 3));
		const std::size_t entries = guest_.entry_count();
		machine_.run_to_hlt();
		EXPECT_EQ(guest_.at_entry(entries + 1, kVmEntryInterruptionInformation), exception_event(6)) << reason;
	}
}

TEST_F(RareExits, EveryLeafOfEnclsExits)
{
	machine_.run_to_hlt();
	EXPECT_TRUE(guest_.at_entry(0, kSecondaryProcessorBasedControls) & secondary_control::kEnclsExiting);
	EXPECT_EQ(guest_.at_entry(0, kEnclsExitingBitmap), ~u64{0});
}

struct Table {
	kvm_cpuid2 header;
	kvm_cpuid_entry2 entry[80];

	kvm_cpuid_entry2& leaf(u32 function)
	{
		for (u32 i = 0; i < header.nent; i++) {
			if (entry[i].function == function)
				return entry[i];
		}
		ADD_FAILURE() << "no leaf " << function;
		return entry[0];
	}
};

Table table_of(Machine& machine)
{
	Table table = {};
	table.header.nent = 80;
	EXPECT_EQ(machine.ioctl(KVM_GET_CPUID2, table), 0);
	return table;
}

TEST_F(RareExits, ControlsFollowTheGuestsCpuid)
{
	constexpr u32 kRdrand = 1u << 30, kRdseed = 1u << 18, kRdtscp = 1u << 27;
	Table table = table_of(machine_);
	table.leaf(1).ecx |= kRdrand;
	table.leaf(7).ebx |= kRdseed;
	EXPECT_EQ(machine_.ioctl(KVM_SET_CPUID2, table), 0);
	machine_.run_to_hlt();
	u64 controls = guest_.at_entry(0, kSecondaryProcessorBasedControls);
	EXPECT_FALSE(controls & (secondary_control::kRdrandExiting | secondary_control::kRdseedExiting));
	EXPECT_TRUE(controls & secondary_control::kRdtscp);
	table.leaf(1).ecx &= ~kRdrand;
	table.leaf(7).ebx &= ~kRdseed;
	table.leaf(0x80000001).edx &= ~kRdtscp;
	EXPECT_EQ(machine_.ioctl(KVM_SET_CPUID2, table), 0);
	machine_.run_to_hlt();
	controls = guest_.at_entry(1, kSecondaryProcessorBasedControls);
	EXPECT_TRUE(controls & secondary_control::kRdrandExiting);
	EXPECT_TRUE(controls & secondary_control::kRdseedExiting);
	EXPECT_FALSE(controls & secondary_control::kRdtscp);
}

// A bit that the guest owned, and whose changes now exit, keeps its value.
TEST_F(RareExits, Cr4StaysWhenTheGuestMayNoLongerChangeIt)
{
	constexpr u32 kPge = 1u << 13;
	machine_.run_to_hlt();
	const u64 control = machine_.sregs().cr4;
	ASSERT_TRUE(control & cr4::kPge);
	Table table = table_of(machine_);
	table.leaf(1).edx &= ~kPge;
	EXPECT_EQ(machine_.ioctl(KVM_SET_CPUID2, table), 0);
	EXPECT_EQ(machine_.sregs().cr4, control);
	// A CPU without the bit cannot have it set.
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_EQ(machine_.run().exit_reason, static_cast<u32>(KVM_EXIT_FAIL_ENTRY));
	const std::vector<std::string> errors = host_.take_errors();
	ASSERT_EQ(errors.size(), 1u);
	EXPECT_NE(errors[0].find("guest CR4 is"), std::string::npos) << errors[0];
	kvm_sregs sregs = machine_.sregs();
	sregs.cr4 &= ~cr4::kPge;
	EXPECT_EQ(machine_.ioctl(KVM_SET_SREGS, sregs), 0);
	machine_.run_to_hlt();
	const std::size_t last = guest_.entry_count() - 1;
	EXPECT_TRUE(guest_.at_entry(last, kCr4GuestHostMask) & cr4::kPge);
	EXPECT_FALSE(guest_.at_entry(last, kGuestCr4) & cr4::kPge);
}

// ---- MOV to CR3, where the guest's physical addresses are narrower than the CPU's ----

constexpr u32 kCr3LoadExiting = 1u << 15;

TEST_F(RareExits, Cr3LoadsExitOnlyWhereTheGuestsAddressesAreNarrower)
{
	machine_.run_to_hlt();
	EXPECT_FALSE(guest_.at_entry(0, kPrimaryProcessorBasedControls) & kCr3LoadExiting);
	Table table = table_of(machine_);
	table.leaf(0x80000008).eax = 40;
	EXPECT_EQ(machine_.ioctl(KVM_SET_CPUID2, table), 0);
	// MOV of RAX to CR3.
	for (u64 value : {u64{0x5000}, u64{1} << 40}) {
		guest_.then(exit_for_instruction(reason::kControlRegister, 3, 3,
						 [value](GuestState& guest) { guest.gpr[Gpr::kRax] = value; }));
	}
	const std::size_t entries = guest_.entry_count();
	machine_.run_to_hlt();
	EXPECT_TRUE(guest_.at_entry(entries, kPrimaryProcessorBasedControls) & kCr3LoadExiting);
	EXPECT_EQ(guest_.at_entry(entries + 1, kGuestCr3), 0x5000u);
	EXPECT_EQ(guest_.at_entry(entries + 2, kGuestCr3), 0x5000u);
	EXPECT_EQ(guest_.at_entry(entries + 2, kVmEntryInterruptionInformation),
		  exception_event(13) | kEventHasErrorCode);
}

// An EPT violation at an address that the guest's CPU does not have becomes its page fault, for a reserved bit.
TEST_F(RareExits, AccessBeyondTheGuestsAddressesIsAPageFault)
{
	constexpr u64 kRead = 1u << 0, kWrite = 1u << 1, kFetch = 1u << 2, kTranslated = 1u << 8;
	constexpr u64 kElsewhere = 0x123456, kNextPage = 0x2000;
	// For an access to a paging structure, the qualification says only that the CPU has read it.
	const struct {
		u64 access, rip, linear;
		u32 error_code;
	} cases[] = {
		{kTranslated | kRead, kStartRip, kElsewhere, 0x9},
		{kTranslated | kWrite, kStartRip, kElsewhere, 0xb},
		{kTranslated | kFetch, kStartRip, kStartRip, 0x19},
		{kTranslated | kRead, kStartRip, kStartRip, 0x9},
		{kRead, kStartRip, kElsewhere, 0x9},
		{kRead | kWrite, kStartRip, kElsewhere, 0x9},
		{kRead, kStartRip, kStartRip, 0x19},
		{kRead, kNextPage - 2, kNextPage, 0x19},
	};
	Table table = table_of(machine_);
	table.leaf(0x80000008).eax = 40;
	EXPECT_EQ(machine_.ioctl(KVM_SET_CPUID2, table), 0);
	for (const auto& it : cases) {
		constexpr u64 kLinearAddressValid = 1u << 7;
		guest_.then(exit_for(reason::kEptViolation, it.access | kLinearAddressValid, [it](GuestState& guest) {
			guest.set(kGuestRip, it.rip);
			guest.set(kGuestPhysicalAddress, u64{1} << 41);
			guest.set(kGuestLinearAddress, it.linear);
		}));
		const std::size_t entries = guest_.entry_count();
		machine_.run_to_hlt();
		EXPECT_EQ(guest_.at_entry(entries + 1, kVmEntryInterruptionInformation),
			  exception_event(14) | kEventHasErrorCode);
		EXPECT_EQ(guest_.at_entry(entries + 1, kVmEntryExceptionErrorCode), it.error_code)
			<< std::hex << it.access << " at " << it.linear;
		EXPECT_TRUE(guest_.at_entry(entries + 1, kGuestRflags) & kFlagRf);
		EXPECT_EQ(machine_.sregs().cr2, it.linear);
	}
}

// ---- addresses that the CPU accepts without an exit, though the guest's CPU would not ----

TEST_F(RareExits, UserspaceSetsTheAddressesThatAGuestCanLoad)
{
	constexpr u32 kLa57 = 1u << 16, kFsBase = 0xc0000100, kLstar = 0xc0000082;
	constexpr u64 kOf57Bits = u64{1} << 55;
	Table table = table_of(machine_);
	table.leaf(7).ecx &= ~kLa57;
	EXPECT_EQ(machine_.ioctl(KVM_SET_CPUID2, table), 0);
	// LGDT and WRFSBASE do not exit.
	kvm_sregs sregs = machine_.sregs();
	sregs.gdt.base = sregs.fs.base = kOf57Bits;
	EXPECT_EQ(machine_.ioctl(KVM_SET_SREGS, sregs), 0);
	struct {
		kvm_msrs header;
		kvm_msr_entry entry[1];
	} msrs = {};
	msrs.header.nmsrs = 1;
	msrs.entry[0] = {kFsBase, 0, kOf57Bits};
	EXPECT_EQ(machine_.ioctl(KVM_SET_MSRS, msrs), 1);
	// WRMSR does.
	guest_.then(wrmsr_exit(kLstar, kOf57Bits));
	machine_.run_to_hlt();
	EXPECT_EQ(guest_.at_entry(1, kVmEntryInterruptionInformation), exception_event(13) | kEventHasErrorCode);
}

TEST(Cr3, MayBeAsWideAsTheCpusAddresses)
{
	Machine machine([](Machine& it) { it.hardware.cpuid[{0x80000008, 0}].eax = 57 << 8 | 52; });
	kvm_sregs sregs = machine.sregs();
	sregs.cr3 |= u64{1} << 50;
	EXPECT_EQ(machine.ioctl(KVM_SET_SREGS, sregs), 0);
	machine.run_to_hlt();
	EXPECT_FALSE(machine.guest.at_entry(0, kPrimaryProcessorBasedControls) & kCr3LoadExiting);
	EXPECT_EQ(machine.guest.at_entry(0, kGuestCr3), sregs.cr3);
	sregs.cr3 |= u64{1} << 52;
	EXPECT_EQ(machine.ioctl(KVM_SET_SREGS, sregs), -EINVAL);
	EXPECT_EQ(machine.host.take_errors().size(), 1u);
}

// The guest's PKRU is not switched there.
TEST_F(RareExits, NoProtectionKeysWhereTheHostHasThemOff)
{
	constexpr u32 kPku = 1u << 3;
	constexpr u64 kPke = 1u << 22;
	Table table = table_of(machine_);
	table.leaf(7).ecx |= kPku;
	EXPECT_EQ(machine_.ioctl(KVM_SET_CPUID2, table), 0);
	kvm_sregs sregs = machine_.sregs();
	sregs.cr4 |= kPke;
	EXPECT_EQ(machine_.ioctl(KVM_SET_SREGS, sregs), -EINVAL);
	EXPECT_EQ(host_.take_errors().size(), 1u);
}

// ---- split locks ----

Step alignment_check()
{
	Step step = exit_for(reason::kExceptionOrNmi);
	step.interruption = exception_event(17) | kEventHasErrorCode;
	step.guest_did = [](GuestState& guest) { guest.set(kExitInterruptionErrorCode, 0); };
	return step;
}

TEST(SplitLock, IsTheGuestsWhereTheHostDoesNotDetectThem)
{
	Machine machine;
	machine.guest.then(alignment_check());
	machine.run_to_hlt();
	EXPECT_EQ(machine.guest.at_entry(1, kVmEntryInterruptionInformation), exception_event(17) | kEventHasErrorCode);
	EXPECT_TRUE(machine.host.split_locks.empty());
}

TEST(SplitLock, IsTheHosts)
{
	Machine machine([](Machine& it) { it.host.detects_split_locks = true; });
	machine.guest.then(alignment_check());
	EXPECT_EQ(machine.run_vcpu(), 0);
	EXPECT_EQ(machine.run().exit_reason, static_cast<u32>(KVM_EXIT_EXCEPTION));
	EXPECT_EQ(machine.run().ex.exception, 17u);
	EXPECT_EQ(machine.run().ex.error_code, 0u);
	EXPECT_EQ(machine.host.split_locks, std::vector<u64>{kStartRip});
	// The kernel lets it happen, and the instruction executes again.
	machine.host.permits_split_locks = true;
	machine.guest.then(alignment_check());
	machine.run_to_hlt();
	EXPECT_EQ(machine.host.split_locks.size(), 2u);
	EXPECT_FALSE(machine.guest.at_entry(2, kVmEntryInterruptionInformation) & kEventValid);
}

TEST(SplitLock, IsTheGuestsThatChecksAlignmentItself)
{
	Machine machine([](Machine& it) { it.host.detects_split_locks = true; });
	constexpr u64 kAc = 1u << 18;
	Step step = alignment_check();
	step.guest_did = [](GuestState& guest) {
		guest.set(kExitInterruptionErrorCode, 0);
		guest.set(kGuestRflags, kFlagsFixed | kFlagIf | kAc);
		guest.set(kGuestSsAccessRights, 0xc0f3);
		guest.set(kGuestCsAccessRights, 0xa0fb);
	};
	machine.guest.then(step);
	machine.run_to_hlt();
	EXPECT_EQ(machine.guest.at_entry(1, kVmEntryInterruptionInformation), exception_event(17) | kEventHasErrorCode);
	EXPECT_TRUE(machine.host.split_locks.empty());
}

// ---- IA32_DEBUGCTL of the host ----

constexpr u64 kFreezeWhileSmm = 1u << 14, kBtf = 1u << 1;

TEST_F(RareExits, HostsCountersStayFrozenInSmmWhileTheGuestRuns)
{
	HostCpu& cpu = machine_.hardware.cpu();
	guest_.then(wrmsr_exit(msr::kDebugctl, kBtf));
	cpu.msr[msr::kDebugctl] = kFreezeWhileSmm;
	guest_.then(rdmsr_exit(msr::kDebugctl));
	machine_.run_to_hlt();
	EXPECT_EQ(guest_.at_entry(0, kGuestIa32Debugctl), kFreezeWhileSmm);
	EXPECT_EQ(guest_.at_entry(1, kGuestIa32Debugctl), kFreezeWhileSmm | kBtf);
	// The guest does not see it.
	EXPECT_EQ(machine_.regs().rax, kBtf);
	EXPECT_EQ(cpu.msr[msr::kDebugctl], kFreezeWhileSmm);
	// It is cleared with the host's.
	cpu.msr[msr::kDebugctl] = 0;
	machine_.run_to_hlt();
	EXPECT_EQ(guest_.at_entry(guest_.entry_count() - 1, kGuestIa32Debugctl), kBtf);
}

// ---- the FPU ----

TEST_F(RareExits, FpuStateThatIsInitialIsNotReadFromAnOldImage)
{
	auto& image = machine_.host_vcpu.fpu_image;
	std::memset(image, 0xa5, sizeof(image));
	machine_.host_vcpu.fpu_components = 0;
	kvm_fpu fpu = {};
	EXPECT_EQ(machine_.ioctl(KVM_GET_FPU, fpu), 0);
	EXPECT_EQ(fpu.fcw, 0x37f);
	EXPECT_EQ(fpu.fsw, 0);
	EXPECT_EQ(fpu.ftwx, 0);
	EXPECT_EQ(fpu.mxcsr, 0x1f80u);
	for (const auto& bytes : {fpu.fpr[0], fpu.fpr[7], fpu.xmm[0], fpu.xmm[15]}) {
		for (u32 i = 0; i < 16; i++)
			EXPECT_EQ(bytes[i], 0);
	}
	machine_.host_vcpu.fpu_components = xcr0::kX87;
	EXPECT_EQ(machine_.ioctl(KVM_GET_FPU, fpu), 0);
	EXPECT_EQ(fpu.fcw, 0xa5a5);
	EXPECT_EQ(fpu.fpr[3][9], 0xa5);
	EXPECT_EQ(fpu.xmm[3][9], 0);
	machine_.host_vcpu.fpu_components = xcr0::kSse;
	EXPECT_EQ(machine_.ioctl(KVM_GET_FPU, fpu), 0);
	EXPECT_EQ(fpu.fcw, 0x37f);
	EXPECT_EQ(fpu.mxcsr, 0xa5a5a5a5);
	EXPECT_EQ(fpu.xmm[3][9], 0xa5);
	machine_.host_vcpu.fpu_components = 0;
	machine_.host_vcpu.fpu_is_compacted = false;
	EXPECT_EQ(machine_.ioctl(KVM_GET_FPU, fpu), 0);
	EXPECT_EQ(fpu.mxcsr, 0xa5a5a5a5);
	EXPECT_EQ(fpu.xmm[3][9], 0);
	// KVM_SET_FPU sets all components.
	machine_.host_vcpu.fpu_components = 0;
	// A vCPU that has not run has no MXCSR mask in its image.
	std::memset(image, 0, sizeof(image));
	constexpr u32 kDenormalsAreZeros = 1u << 6;
	fpu.mxcsr = 0x180 | kDenormalsAreZeros;
	EXPECT_EQ(machine_.ioctl(KVM_SET_FPU, fpu), 0);
	EXPECT_EQ(machine_.host_vcpu.fpu_components, xcr0::kX87 | xcr0::kSse);
}

// ---- speculation ----

TEST(IndexNospec, IsTheIndexBelowTheSizeAndElseZero)
{
	for (u64 size : {u64{1}, u64{64}, u64{1} << 32, ~u64{0}}) {
		EXPECT_EQ(index_nospec(0, size), 0u);
		EXPECT_EQ(index_nospec(size - 1, size), size - 1);
		EXPECT_EQ(index_nospec(size, size), 0u);
		EXPECT_EQ(index_nospec(~u64{0}, size), 0u);
	}
}

}  // namespace
}  // namespace vregcache::test
