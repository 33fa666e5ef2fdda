// SPDX-License-Identifier: GPL-2.0
// The host's state after the guest has run, and a vCPU that moves to another CPU.
#include <vmx/architecture.h>

#include "exits.h"

namespace vregcache::test {
namespace {

class HostState : public VcpuFixture {
 protected:
	HostCpu& cpu() { return machine_.hardware.cpu(); }

	// Preempted at the next reschedule check, the task continues on CPU @number.
	void move_at_next_exit_to(unsigned number)
	{
		host_.need_resched = [this, entries = guest_.entry_count()] {
			return !moved_ && guest_.entry_count() > entries;
		};
		host_.reschedule = [this, number] {
			if (moved_)
				return;
			moved_ = true;
			vrc_vcpu_sched_out(machine_.vcpu);
			machine_.hardware.move_to(number);
			vrc_vcpu_sched_in(machine_.vcpu);
		};
	}

	bool moved_ = false;
};

// Without CR2, which a kernel reads before anything can change it.
struct Snapshot {
	explicit Snapshot(const HostCpu& cpu)
	    : msr(cpu.msr), registers{cpu.cr0, cpu.cr3, cpu.cr4, cpu.xcr0, cpu.pkru}, dr(cpu.dr),
	      selectors{cpu.cs, cpu.ss, cpu.ds, cpu.es, cpu.fs, cpu.gs, cpu.ldtr},
	      tables{cpu.gdtr.limit, cpu.gdtr.base, cpu.idtr.limit, cpu.idtr.base}
	{}

	std::map<u32, u64> msr;
	std::array<u64, 5> registers;
	std::array<u64, 8> dr;
	std::array<u16, 7> selectors;
	std::array<u64, 4> tables;
};

TEST_F(HostState, IsWholeAfterEachIoctl)
{
	cpu().ds = cpu().es = 0x2b;
	cpu().fs = 0x53;
	cpu().gs = 0x5b;
	cpu().ldtr = 0x70;
	cpu().dr = {1, 2, 3, 4, 0, 0, 0xffff4ff1, 0x555};
	cpu().msr[msr::kDebugctl] = 2;
	// The guest has its own value of each.
	kvm_debugregs debug = {{0x10, 0x20, 0x30, 0x40}, 0xffff0ff0, 0x4ff, 0, {}};
	EXPECT_EQ(machine_.ioctl(KVM_SET_DEBUGREGS, debug), 0);
	guest_.then(wrmsr_exit(msr::kStar, 0x1));
	guest_.then(wrmsr_exit(msr::kLstar, 0x2));
	guest_.then(wrmsr_exit(msr::kKernelGsBase, 0x3));
	guest_.then(cpuid_exit([this](GuestState&) { cpu().cr2 = 0x1234; }));
	Snapshot before(cpu());
	machine_.run_to_hlt();
	Snapshot after(cpu());
	EXPECT_EQ(after.msr, before.msr);
	EXPECT_EQ(after.registers, before.registers);
	EXPECT_EQ(after.dr, before.dr);
	EXPECT_EQ(after.selectors, before.selectors);
	EXPECT_EQ(after.tables, before.tables);
	EXPECT_EQ(machine_.sregs().cr2, 0x1234u);
}

TEST_F(HostState, GuestHasItsOwnWhileItRuns)
{
	kvm_debugregs debug = {{0x10, 0x20, 0x30, 0x40}, 0xffff0ff0, 0x4ff, 0, {}};
	EXPECT_EQ(machine_.ioctl(KVM_SET_DEBUGREGS, debug), 0);
	guest_.then(wrmsr_exit(msr::kLstar, 0x2222));
	guest_.then(wrmsr_exit(msr::kKernelGsBase, 0x3333));
	guest_.at_each_entry = [this] {
		if (guest_.entry_count() != 3)
			return;
		EXPECT_EQ(cpu().msr[msr::kLstar], 0x2222u);
		EXPECT_EQ(cpu().msr[msr::kKernelGsBase], 0x3333u);
		EXPECT_EQ(cpu().dr[3], 0x40u);
	};
	machine_.run_to_hlt();
}

// SWAPGS changes it without an exit.
TEST_F(HostState, KernelGsBaseIsTheGuestsOwnBehindSwapgs)
{
	guest_.then(hlt_exit([this](GuestState&) { cpu().msr[msr::kKernelGsBase] = 0x4444; }));
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_NE(cpu().msr[msr::kKernelGsBase], 0x4444u);
	guest_.at_each_entry = [this] { EXPECT_EQ(cpu().msr[msr::kKernelGsBase], 0x4444u); };
	guest_.then(rdmsr_exit(msr::kKernelGsBase));
	machine_.run_to_hlt();
	EXPECT_EQ(machine_.regs().rax, 0x4444u);
}

// A change by the kernel or a context switch is written, once; the checks of the guest's VM-entry verify it.
TEST_F(HostState, ChangeIsFollowed)
{
	auto accesses = [this] {
		machine_.run_to_hlt();
		machine_.run_to_hlt();
		return guest_.accesses_before_entry(guest_.entry_count() - 2);
	};
	machine_.run_to_hlt();
	auto unchanged = accesses();
	auto differ_by = [&unchanged](std::vector<FieldAccess> made, const AccessList& stated) {
		EXPECT_EQ(made.size(), unchanged.size() + stated.writes.size());
		for (const FieldAccess& access : unchanged)
			std::erase_if(made,
				      [&](const FieldAccess& other) { return other.encoding == access.encoding; });
		return difference(made, stated);
	};
	cpu().cr3 = 0x1234000;
	EXPECT_EQ(differ_by(accesses(), {{}, {kHostCr3}}), "");
	cpu().cr4 ^= cr4::kSmap;
	EXPECT_EQ(differ_by(accesses(), {{}, {kHostCr4}}), "");
	cpu().msr[msr::kFsBase] = 0x7f0000009000;
	EXPECT_EQ(differ_by(accesses(), {{}, {kHostFsBase}}), "");
	EXPECT_EQ(differ_by(accesses(), {}), "");
}

// No guest-state field is read or written for it, only those of the host CPU.
TEST_F(HostState, MoveToAnotherCpuWritesItsHostState)
{
	guest_.then(cpuid_exit(), 3);
	machine_.run_to_hlt();
	move_at_next_exit_to(1);
	guest_.then(external_interrupt_exit());
	machine_.run_to_hlt();
	EXPECT_TRUE(moved_);
	EXPECT_EQ(machine_.hardware.current, 1u);
	EXPECT_EQ(difference(guest_.accesses_before_entry(guest_.entry_count() - 1),
			     {{kExitReason}, {kHostGdtrBase, kHostTrBase, kHostGsBase, kHostIa32SysenterEsp}}),
		  "");
	// The VMCS is not launched on a CPU that it has moved to; the guest's VM-entry has checked that.
	machine_.run_to_hlt();
}

TEST_F(HostState, PreemptionWithoutAMoveCostsNoAccess)
{
	guest_.then(cpuid_exit(), 3);
	machine_.run_to_hlt();
	move_at_next_exit_to(0);
	guest_.then(external_interrupt_exit());
	machine_.run_to_hlt();
	EXPECT_TRUE(moved_);
	EXPECT_EQ(difference(guest_.accesses_before_entry(guest_.entry_count() - 1), {{kExitReason}, {}}), "");
}

TEST_F(HostState, VmcsThatIsCurrentIsNotLoadedAgain)
{
	machine_.run_to_hlt();
	u32 before = machine_.hardware.vmptrlds;
	machine_.run_to_hlt();
	machine_.regs();
	EXPECT_EQ(machine_.hardware.vmptrlds, before);
}

// Two vCPUs take turns on a CPU: each turn loads a VMCS, and accesses no field for it.
TEST_F(HostState, OtherVcpuInBetweenCostsOneLoadAndNoAccess)
{
	vrc_host_vcpu host_vcpu;
	alignas(4096) static u8 pages[VRC_RUN_PAGES * 4096] = {};
	ASSERT_EQ(vrc_vcpu_create(machine_.vm, 1, &host_vcpu, pages, &host_vcpu.machine), 0);
	ASSERT_EQ(vrc_vcpu_set_up(host_vcpu.machine), 0);
	std::size_t last = 0;
	for (u32 turn = 0; turn < 4; turn++) {
		u32 before = machine_.hardware.vmptrlds;
		machine_.run_to_hlt();
		last = guest_.entry_count() - 1;
		guest_.then(hlt_exit());
		EXPECT_EQ(vrc_vcpu_ioctl(host_vcpu.machine, KVM_RUN, 0), 0);
		EXPECT_EQ(machine_.hardware.vmptrlds, before + 2);
	}
	// The accesses before an entry follow the other one's exit, which is of the same kind.
	AccessList hlt = {{kExitReason, kGuestRip, kExitInstructionLength, kGuestInterruptibilityState, kGuestRflags},
			  {kGuestRip}};
	EXPECT_EQ(difference(guest_.accesses_before_entry(last), hlt), "");
	EXPECT_EQ(difference(guest_.accesses_before_entry(last + 1), hlt), "");
	vrc_vcpu_destroy(host_vcpu.machine, false);
}

TEST_F(HostState, NmiAndMachineCheckReachTheHost)
{
	Step nmi = exit_for(reason::kExceptionOrNmi);
	nmi.interruption = kNmiEvent;
	guest_.then(nmi);
	Step machine_check = exit_for(reason::kExceptionOrNmi);
	machine_check.interruption = exception_event(18);
	guest_.then(machine_check);
	machine_.run_to_hlt();
	EXPECT_EQ(host_.nmis_handled, 1u);
	EXPECT_EQ(host_.machine_checks_handled, 1u);
}

// The counters of this kind of exit, over all vCPUs so far.  Several rows have the name "other".
struct vrc_counter_row counters_of(const std::string& reason)
{
	struct vrc_counter_row row, sum = {};
	for (unsigned index = 0; vrc_counter_row(index, &row); index++) {
		if (row.reason != reason)
			continue;
		sum.exits += row.exits;
		sum.vmreads += row.vmreads;
	}
	return sum;
}

TEST_F(HostState, ExitsForReasonsThatTheSdmDoesNotHaveCountAsOther)
{
	machine_.run_to_hlt();
	const auto before = counters_of("other"), before_tdcall = counters_of("tdcall");
	guest_.then(exit_for(100));
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_EQ(machine_.run().exit_reason, static_cast<u32>(KVM_EXIT_INTERNAL_ERROR));
	EXPECT_EQ(counters_of("other").exits - before.exits, 1u);
	EXPECT_EQ(counters_of("tdcall").exits, before_tdcall.exits);
}

// Samples the guest, as the handler of an NMI or interrupt does, the second time from memory.
void sample(vrc_host_vcpu& vcpu, u64 rip)
{
	for (int i = 0; i < 2; i++) {
		vrc_u64 found = 0;
		vrc_bool user = true;
		EXPECT_EQ(vrc_vcpu_pmi_sample(vcpu.machine, &found, &user), 0);
		EXPECT_EQ(found, rip);
		EXPECT_FALSE(user);
	}
}

TEST_F(HostState, WhatAnNmiHandlerReadsCountsForTheNmisExit)
{
	Step nmi = exit_for(reason::kExceptionOrNmi);
	nmi.interruption = kNmiEvent;
	machine_.run_to_hlt();
	guest_.then(nmi);
	const auto before = counters_of("exception_nmi"), before_hlt = counters_of("hlt");
	host_.interruption_handler = [&](vrc_host_vcpu& vcpu) { sample(vcpu, kStartRip + 1); };
	machine_.run_to_hlt();
	const auto after = counters_of("exception_nmi"), after_hlt = counters_of("hlt");
	EXPECT_EQ(after.exits - before.exits, 1u);
	// Exit reason, interruption information, RIP and the access rights of SS.
	EXPECT_EQ(after.vmreads - before.vmreads, 4u);
	EXPECT_EQ(after_hlt.exits - before_hlt.exits, 1u);
	EXPECT_EQ(after_hlt.vmreads - before_hlt.vmreads, 5u);
}

TEST_F(HostState, NmiIsHandledBeforeAnythingIsTracedAndWhatItsHandlerReadsIsTracedBehindItsExit)
{
	using vregcache::Reg;
	Step nmi = exit_for(reason::kExceptionOrNmi);
	nmi.interruption = kNmiEvent;
	machine_.run_to_hlt();
	for (bool samples : {false, true}) {
		guest_.then(nmi);
		const u64 rip = machine_.regs().rip;
		host_.interruption_handler = [&, samples](vrc_host_vcpu& vcpu) {
			for (u32 i = 0; i < g_traced_accesses; i++)
				EXPECT_EQ(g_traced_access[i].event, AccessEvent::kWriteBack);
			if (samples)
				sample(vcpu, rip);
		};
		g_traced_accesses = 0;
		host_.trace(true);
		machine_.run_to_hlt();
		host_.trace(false);
		std::vector<TracedAccess> expected = {
			{AccessEvent::kInvalidate, 0, vregcache::VmxLayout::lazy().bits()},
			{AccessEvent::kMiss, index(Reg::kExitReason), 0},
			{AccessEvent::kMiss, index(Reg::kExitInterruptionInformation), kNmiEvent},
		};
		if (samples)
			expected.push_back({AccessEvent::kMiss, index(Reg::kRip), rip});
		// The NMI's exit is the first event, except for the write-back of RIP before it.
		std::vector<TracedAccess> told(g_traced_access, g_traced_access + g_traced_accesses);
		std::erase_if(told, [](const TracedAccess& access) { return access.event == AccessEvent::kWriteBack; });
		ASSERT_GE(told.size(), expected.size());
		told.resize(expected.size());
		EXPECT_EQ(told, expected);
	}
}

TEST_F(HostState, InterruptIsTakenOnceAndItsHandlerMayReadTheGuestsRegisters)
{
	guest_.then(exit_for(reason::kExternalInterrupt));
	u32 samples = 0;
	host_.interruption_handler = [&](vrc_host_vcpu& vcpu) {
		sample(vcpu, kStartRip);
		samples++;
	};
	machine_.run_to_hlt();
	EXPECT_EQ(samples, 1u);
	EXPECT_EQ(host_.interrupts_taken, 1u);
	EXPECT_EQ(host_.nmis_handled, 0u);
}

}  // namespace
}  // namespace vregcache::test
