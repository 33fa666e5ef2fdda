// SPDX-License-Identifier: GPL-2.0
// The cost of each kind of VM-exit in the steady state: no single-stepping, no blocking by STI or MOV SS, no event in
// delivery.  Each row states the fields that are read and written between the VM-exit and the next VM-entry, and no
// other may be; and their maximum number, so that the list does not grow unnoticed.  KVM's accesses are measured on
// Linux 6.12 with a guest in 64-bit mode; its read of the PML index is not counted here.
#include <vmx/architecture.h>

#include "exits.h"

namespace vregcache::test {
namespace {

struct Row {
	const char* name;
	Step exit;
	u32 userspace;  // the exit reason of kvm_run; KVM_EXIT_UNKNOWN: the module handles the exit
	AccessList stated;
	std::size_t most_reads, most_writes;
	const char* kvm;

	[[maybe_unused]] friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

// The accesses that emulating an instruction always takes: its address and length, whether it ends blocking by STI or
// MOV SS, and whether it is single-stepped.
AccessList instruction()
{
	return {{kExitReason, kGuestRip, kExitInstructionLength, kGuestInterruptibilityState, kGuestRflags},
		{kGuestRip}};
}

constexpr const char* kAsCpuid = "6 reads: reason, IDT-vectoring information, RFLAGS, instruction length, RIP, "
				 "interruptibility; 1 write: RIP";

std::vector<Row> rows()
{
	return {
		{"Cpuid", cpuid_exit(), KVM_EXIT_UNKNOWN, instruction(), 5, 1, kAsCpuid},
		{"RdmsrOfEfer", rdmsr_exit(msr::kEfer), KVM_EXIT_UNKNOWN, instruction(), 5, 1, kAsCpuid},
		{"RdmsrOfSwitchedMsr", rdmsr_exit(msr::kStar), KVM_EXIT_UNKNOWN, instruction(), 5, 1, kAsCpuid},
		{"WrmsrOfEfer", wrmsr_exit(msr::kEfer, 0xd01), KVM_EXIT_UNKNOWN, instruction(), 5, 1, kAsCpuid},
		{"WrmsrOfSwitchedMsr", wrmsr_exit(msr::kLstar, 0x1234), KVM_EXIT_UNKNOWN, instruction(), 5, 1,
		 kAsCpuid},
		{"WrmsrOfFieldThatHasTheValue", wrmsr_exit(msr::kSysenterCs, 0x10), KVM_EXIT_UNKNOWN, instruction(), 5,
		 1, "as CPUID, and a write of the field"},
		{"Hlt", hlt_exit(), KVM_EXIT_HLT, instruction(), 5, 1, kAsCpuid},
		{"Out", out_exit(), KVM_EXIT_IO, instruction().also_reads({kExitQualification}), 6, 1,
		 "8 reads: as CPUID, and qualification, CS access rights; 1 write: RIP"},
		{"In", in_exit(), KVM_EXIT_IO, instruction().also_reads({kExitQualification}), 6, 1,
		 "8 reads: as CPUID, and qualification, CS access rights; 1 write: RIP"},
		{"Vmcall", vmcall_exit(), KVM_EXIT_UNKNOWN, instruction(), 6, 1,
		 "8 reads: as CPUID, and access rights of CS and SS; 1 write: RIP"},
		{"MovToCr0", mov_to_cr0_exit(), KVM_EXIT_UNKNOWN,
		 instruction().also_reads({kExitQualification}).also_writes({kCr0ReadShadow, kGuestCr0}), 7, 3,
		 "9 reads: as CPUID, and qualification, CS access rights, CR0; 3 writes: read shadow, CR0, "
		 "RIP"},
		{"Wbinvd", wbinvd_exit(), KVM_EXIT_UNKNOWN, instruction(), 5, 1, kAsCpuid},
		{"EptViolation",
		 ept_violation_exit(),
		 KVM_EXIT_UNKNOWN,
		 {{kExitReason, kExitQualification, kGuestPhysicalAddress, kIdtVectoringInformation}, {}},
		 4,
		 0,
		 "4 reads: reason, IDT-vectoring information, qualification, guest-physical address"},
		{"ExternalInterrupt",
		 external_interrupt_exit(),
		 KVM_EXIT_UNKNOWN,
		 {{kExitReason}, {}},
		 2,
		 0,
		 "3 reads: reason, IDT-vectoring information, interruption information"},
	};
}

class AccessTable : public testing::TestWithParam<Row> {};

void check_steady_state(const Row& row, bool traced)
{
	constexpr u32 kTimes = 5;
	Machine machine;
	machine.host.trace(traced);
	if (row.userspace == KVM_EXIT_UNKNOWN) {
		machine.guest.then(row.exit, kTimes);
		machine.run_to_hlt();
	}
	for (u32 i = 0; row.userspace != KVM_EXIT_UNKNOWN && i < kTimes; i++) {
		machine.guest.then(row.exit);
		ASSERT_EQ(machine.run_vcpu(), 0);
		ASSERT_EQ(machine.run().exit_reason, row.userspace);
	}
	// The very first VM-entry has more to do.
	for (u32 entry = 2; entry < kTimes; entry++)
		EXPECT_EQ(difference(machine.guest.accesses_before_entry(entry), row.stated), "")
			<< "before VM-entry " << entry << "\nKVM: " << row.kvm;
	EXPECT_LE(row.stated.reads.size(), row.most_reads);
	EXPECT_LE(row.stated.writes.size(), row.most_writes);
	// The HLT of run_to_hlt() is the last, if the module handles the others.
	std::size_t exits = row.userspace == KVM_EXIT_UNKNOWN ? kTimes + 1 : kTimes;
	EXPECT_EQ(machine.host.traced_exits.size(), traced ? exits : 0);
}

TEST_P(AccessTable, SteadyState) { check_steady_state(GetParam(), false); }
// No field is read just for the trace.
TEST_P(AccessTable, SteadyStateTraced) { check_steady_state(GetParam(), true); }
TEST_P(AccessTable, SteadyStateWithHitsCounted)
{
	vrc_watched_reads = VRC_WATCH_HITS;
	check_steady_state(GetParam(), false);
}

INSTANTIATE_TEST_SUITE_P(Exits, AccessTable, testing::ValuesIn(rows()),
			 [](const testing::TestParamInfo<Row>& info) { return std::string(info.param.name); });

class StateIoctls : public VcpuFixture {
 protected:
	StateIoctls()
	{
		machine_.run_to_hlt();
		machine_.run_to_hlt();
		guest_.forget_accesses();
	}

	std::string accesses_since(const AccessList& stated)
	{
		std::string text = difference(guest_.accesses(), stated);
		guest_.forget_accesses();
		return text;
	}
};

// RIP and RFLAGS have been in memory since the HLT, and the general-purpose registers always are.
TEST_F(StateIoctls, GetRegsReadsWhatIsNotThere)
{
	machine_.regs();
	EXPECT_EQ(accesses_since({{kGuestRsp}, {}}), "");
	machine_.regs();
	EXPECT_EQ(accesses_since({}), "");
}

TEST_F(StateIoctls, GetSregsReadsEachFieldOnce)
{
	AccessList stated;
	stated.also_reads({kGuestEsSelector, kGuestEsBase, kGuestEsLimit, kGuestEsAccessRights})
		.also_reads({kGuestCsSelector, kGuestCsBase, kGuestCsLimit, kGuestCsAccessRights})
		.also_reads({kGuestSsSelector, kGuestSsBase, kGuestSsLimit, kGuestSsAccessRights})
		.also_reads({kGuestDsSelector, kGuestDsBase, kGuestDsLimit, kGuestDsAccessRights})
		.also_reads({kGuestFsSelector, kGuestFsBase, kGuestFsLimit, kGuestFsAccessRights})
		.also_reads({kGuestGsSelector, kGuestGsBase, kGuestGsLimit, kGuestGsAccessRights})
		.also_reads({kGuestLdtrSelector, kGuestLdtrBase, kGuestLdtrLimit, kGuestLdtrAccessRights})
		.also_reads({kGuestTrSelector, kGuestTrBase, kGuestTrLimit, kGuestTrAccessRights})
		.also_reads({kGuestGdtrBase, kGuestGdtrLimit, kGuestIdtrBase, kGuestIdtrLimit})
		.also_reads({kGuestCr0, kGuestCr3, kGuestCr4});
	machine_.sregs();
	EXPECT_EQ(accesses_since(stated), "");
	machine_.sregs();
	EXPECT_EQ(accesses_since({}), "");
}

// KVM writes about 40 fields here.
TEST_F(StateIoctls, SettingWhatWasReadWritesNothing)
{
	kvm_regs regs = machine_.regs();
	kvm_sregs sregs = machine_.sregs();
	guest_.forget_accesses();
	EXPECT_EQ(machine_.ioctl(KVM_SET_REGS, regs), 0);
	EXPECT_EQ(machine_.ioctl(KVM_SET_SREGS, sregs), 0);
	// RIP is from the HLT.
	machine_.run_to_hlt();
	EXPECT_EQ(difference(guest_.accesses_before_entry(guest_.entry_count() - 1), {{}, {kGuestRip}}), "");
}

TEST_F(StateIoctls, SettingOneThingWritesItOnce)
{
	kvm_sregs sregs = machine_.sregs();
	guest_.forget_accesses();
	for (u64 address : {0x5000, 0x6000, 0x7000}) {
		sregs.cr3 = address;
		EXPECT_EQ(machine_.ioctl(KVM_SET_SREGS, sregs), 0);
	}
	machine_.run_to_hlt();
	EXPECT_EQ(difference(guest_.accesses_before_entry(guest_.entry_count() - 1), {{}, {kGuestRip, kGuestCr3}}), "");
	EXPECT_EQ(guest_.at_entry(guest_.entry_count() - 1, kGuestCr3), 0x7000u);
}

}  // namespace
}  // namespace vregcache::test
