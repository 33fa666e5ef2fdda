// SPDX-License-Identifier: GPL-2.0
// The accesses added to those of access_table_test.cc outside the steady state, and their effect on the guest.
#include <vmx/architecture.h>

#include "exits.h"

namespace vregcache::test {
namespace {

constexpr u32 kInterruptWindowExiting = 1u << 2, kNmiWindowExiting = 1u << 22;
constexpr u64 kPendingSingleStep = 1u << 14, kPendingBreakpoint = 1u << 12 | 1u << 0;
constexpr u64 kBtf = 1u << 1;

class BeyondSteadyState : public VcpuFixture {
 protected:
	// Three times, so that the steady state is reached before the exit under test.
	BeyondSteadyState() { guest_.then(cpuid_exit(), 3); }

	// The guest exits with @step, and then executes an HLT.
	void exit_so(const Step& step)
	{
		guest_.then(step);
		entry_ = 4;
		guest_.then(hlt_exit(has_rflags(kFlagsFixed)));
		EXPECT_EQ(machine_.run_vcpu(), 0);
		EXPECT_EQ(machine_.run().exit_reason, static_cast<u32>(KVM_EXIT_HLT));
	}

	// Between that exit and the next VM-entry.
	std::string accesses_are(const AccessList& stated)
	{
		return difference(guest_.accesses_before_entry(entry_), stated);
	}

	template <class Field>
	u64 then_has(Field field)
	{
		return guest_.at_entry(entry_, field);
	}
	// Zero: no event is injected.
	u64 then_injects()
	{
		return then_has(kVmEntryInterruptionInformation) & kEventValid
			       ? then_has(kVmEntryInterruptionInformation)
			       : 0;
	}

	static AccessList cpuid()
	{
		return {{kExitReason, kGuestRip, kExitInstructionLength, kGuestInterruptibilityState, kGuestRflags},
			{kGuestRip}};
	}
	static AccessList ept_violation()
	{
		return {{kExitReason, kExitQualification, kGuestPhysicalAddress, kIdtVectoringInformation}, {}};
	}

	std::size_t entry_ = 0;
};

TEST_F(BeyondSteadyState, NothingElse)
{
	exit_so(cpuid_exit());
	EXPECT_EQ(accesses_are(cpuid()), "");
	EXPECT_EQ(then_injects(), 0u);
}

// ---- flags and blocking ----

TEST_F(BeyondSteadyState, SingleStepReadsWhatItIsMadeOfAndInjectsIt)
{
	exit_so(cpuid_exit(has_rflags(kFlagsFixed | kFlagTf)));
	EXPECT_EQ(accesses_are(cpuid().also_reads({kGuestPendingDebugExceptions, kGuestIa32Debugctl, kGuestDr7})
				       .also_writes({kVmEntryInterruptionInformation})),
		  "");
	EXPECT_EQ(then_injects(), exception_event(1));
}

// With BTF only branches trap.
TEST_F(BeyondSteadyState, SingleStepOfBranchesReadsOnlyWhetherItIsThat)
{
	exit_so(cpuid_exit([](GuestState& guest) {
		guest.set(kGuestRflags, kFlagsFixed | kFlagTf);
		guest.set(kGuestIa32Debugctl, kBtf);
	}));
	EXPECT_EQ(accesses_are(cpuid().also_reads({kGuestPendingDebugExceptions, kGuestIa32Debugctl})), "");
	EXPECT_EQ(then_injects(), 0u);
}

TEST_F(BeyondSteadyState, RfIsClearedByTheInstructionItHeldBreakpointsBackFor)
{
	exit_so(cpuid_exit(has_rflags(kFlagsFixed | kFlagRf)));
	EXPECT_EQ(accesses_are(cpuid().also_writes({kGuestRflags})), "");
	EXPECT_EQ(then_has(kGuestRflags), kFlagsFixed);
}

TEST_F(BeyondSteadyState, BlockingByStiEndsWithOneWrite)
{
	exit_so(cpuid_exit([](GuestState& guest) {
		guest.set(kGuestRflags, kFlagsFixed | kFlagIf);
		guest.set(kGuestInterruptibilityState, kStiBlocks);
	}));
	EXPECT_EQ(accesses_are(cpuid().also_writes({kGuestInterruptibilityState})), "");
	EXPECT_EQ(then_has(kGuestInterruptibilityState), 0u);
}

// A breakpoint that MOV SS held back would be pending.
TEST_F(BeyondSteadyState, BlockingByMovSsReadsPendingDebugExceptions)
{
	exit_so(cpuid_exit(has_interruptibility(kMovSsBlocks)));
	EXPECT_EQ(
		accesses_are(
			cpuid().also_reads({kGuestPendingDebugExceptions}).also_writes({kGuestInterruptibilityState})),
		"");
	EXPECT_EQ(then_has(kGuestInterruptibilityState), 0u);
}

TEST_F(BeyondSteadyState, BreakpointThatMovSsHeldBackComesNow)
{
	exit_so(cpuid_exit([](GuestState& guest) {
		guest.set(kGuestInterruptibilityState, kMovSsBlocks);
		guest.set(kGuestPendingDebugExceptions, kPendingBreakpoint);
	}));
	EXPECT_EQ(accesses_are(cpuid().also_reads({kGuestPendingDebugExceptions, kGuestIa32Debugctl, kGuestDr7})
				       .also_writes({kGuestInterruptibilityState, kGuestPendingDebugExceptions,
						     kVmEntryInterruptionInformation})),
		  "");
	EXPECT_EQ(then_injects(), exception_event(1));
	EXPECT_EQ(then_has(kGuestPendingDebugExceptions), 0u);
}

TEST_F(BeyondSteadyState, StiBeforeHltCostsOneWriteMore)
{
	exit_so(cpuid_exit());
	guest_.then(hlt_exit(has_interruptibility(kStiBlocks)));
	ASSERT_EQ(machine_.run_vcpu(), 0);
	machine_.run_to_hlt();
	entry_ = guest_.entry_count() - 1;
	EXPECT_EQ(accesses_are(cpuid().also_writes({kGuestInterruptibilityState})), "");
}

// ---- event delivery that an EPT violation interrupts ----

// Whether the guest can take it is checked again: userspace may have changed that if it ran in between.
TEST_F(BeyondSteadyState, InterruptedInterruptIsDeliveredAgain)
{
	exit_so(ept_violation_exit(kEptWrite, interrupt_event(0x31)));
	EXPECT_EQ(accesses_are(ept_violation()
				       .also_reads({kGuestRflags, kGuestInterruptibilityState})
				       .also_writes({kVmEntryInterruptionInformation})),
		  "");
	EXPECT_EQ(then_injects(), interrupt_event(0x31));
}

TEST_F(BeyondSteadyState, InterruptedPageFaultIsDeliveredAgainWithItsErrorCode)
{
	constexpr u32 kPageFault = exception_event(14) | kEventHasErrorCode;
	exit_so(ept_violation_exit(kEptWrite, kPageFault, 0x6));
	EXPECT_EQ(accesses_are(ept_violation()
				       .also_reads({kIdtVectoringErrorCode})
				       .also_writes({kVmEntryInterruptionInformation, kVmEntryExceptionErrorCode})),
		  "");
	EXPECT_EQ(then_injects(), kPageFault);
	EXPECT_EQ(then_has(kVmEntryExceptionErrorCode), 0x6u);
}

TEST_F(BeyondSteadyState, InterruptedIntNIsDeliveredAgainWithItsLength)
{
	Step step = ept_violation_exit(kEptWrite, software_interrupt_event(0x80));
	step.instruction_length = 2;
	exit_so(step);
	EXPECT_EQ(accesses_are(ept_violation()
				       .also_reads({kExitInstructionLength})
				       .also_writes({kVmEntryInterruptionInformation, kVmEntryInstructionLength})),
		  "");
	EXPECT_EQ(then_injects(), software_interrupt_event(0x80));
	EXPECT_EQ(then_has(kVmEntryInstructionLength), 2u);
}

// Its delivery has blocked NMIs, and VM-entry requires them not to be blocked when it injects one.
TEST_F(BeyondSteadyState, InterruptedNmiIsDeliveredAgain)
{
	Step step = ept_violation_exit(kEptWrite, kNmiEvent);
	step.guest_did = [did = step.guest_did](GuestState& guest) {
		did(guest);
		guest.set(kGuestInterruptibilityState, kNmiBlocks);
	};
	exit_so(step);
	EXPECT_EQ(accesses_are(ept_violation()
				       .also_reads({kGuestInterruptibilityState})
				       .also_writes({kGuestInterruptibilityState, kVmEntryInterruptionInformation})),
		  "");
	EXPECT_EQ(then_injects(), kNmiEvent);
	EXPECT_EQ(then_has(kGuestInterruptibilityState), 0u);
}

// An exception during its delivery is injected first, and the interrupt waits for the interrupt window.
TEST_F(BeyondSteadyState, InterruptThatAnExceptionOvertakesWaits)
{
	constexpr u32 kAlignmentCheck = exception_event(17) | kEventHasErrorCode;
	Step step = exit_for(reason::kExceptionOrNmi, 0, [](GuestState& guest) {
		guest.set(kGuestRflags, kFlagsFixed | kFlagIf);
		guest.set(kExitInterruptionErrorCode, 0);
	});
	step.interruption = kAlignmentCheck;
	step.idt_vectoring = interrupt_event(0x31);
	guest_.then(step);
	guest_.then(interrupt_window_exit());
	guest_.then(hlt_exit());
	entry_ = 4;
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_EQ(accesses_are({{kExitReason, kExitInterruptionInformation, kExitInterruptionErrorCode,
				 kIdtVectoringInformation},
				{kVmEntryInterruptionInformation, kVmEntryExceptionErrorCode,
				 kPrimaryProcessorBasedControls}}),
		  "");
	EXPECT_EQ(then_injects(), kAlignmentCheck);
	EXPECT_TRUE(then_has(kPrimaryProcessorBasedControls) & kInterruptWindowExiting);
	entry_ = 5;
	EXPECT_EQ(then_injects(), interrupt_event(0x31));
}

// ---- IRET that faults has unblocked NMIs and will execute again ----

TEST_F(BeyondSteadyState, FaultOfIretBlocksNmisAgain)
{
	exit_so(ept_violation_exit(kEptWrite | kEptNmiUnblockedByIret));
	EXPECT_EQ(accesses_are(ept_violation()
				       .also_reads({kGuestInterruptibilityState})
				       .also_writes({kGuestInterruptibilityState})),
		  "");
	EXPECT_EQ(then_has(kGuestInterruptibilityState), kNmiBlocks);
}

// Then bit 12 of the qualification is undefined (SDM Vol. 3C, table 28-7).
TEST_F(BeyondSteadyState, FaultOfEventDeliveryDoesNot)
{
	exit_so(ept_violation_exit(kEptWrite | kEptNmiUnblockedByIret, interrupt_event(0x31)));
	EXPECT_EQ(accesses_are(ept_violation()
				       .also_reads({kGuestRflags, kGuestInterruptibilityState})
				       .also_writes({kVmEntryInterruptionInformation})),
		  "");
	EXPECT_EQ(then_has(kGuestInterruptibilityState), 0u);
}

// ---- events from userspace ----

class Events : public VcpuFixture {
 protected:
	void interrupt(u32 vector)
	{
		kvm_interrupt interrupt = {vector};
		EXPECT_EQ(machine_.ioctl(KVM_INTERRUPT, interrupt), 0);
	}

	// Before the last VM-entry.
	std::string accesses_are(const AccessList& stated)
	{
		return difference(guest_.accesses_before_entry(guest_.entry_count() - 1), stated);
	}

	void enable_interrupts(bool on) { machine_.set_rflags(on ? kFlagsFixed | kFlagIf : kFlagsFixed); }

	void halt(u32 times)
	{
		for (u32 i = 0; i < times; i++)
			machine_.run_to_hlt();
	}

	u64 last_entry_injects()
	{
		u64 information = guest_.at_entry(guest_.entry_count() - 1, kVmEntryInterruptionInformation);
		return information & kEventValid ? information : 0;
	}

	static AccessList hlt()
	{
		return {{kExitReason, kGuestRip, kExitInstructionLength, kGuestInterruptibilityState, kGuestRflags},
			{kGuestRip}};
	}
};

TEST_F(Events, InterruptThatTheGuestCanTakeCostsOneWrite)
{
	enable_interrupts(true);
	halt(3);
	interrupt(0x31);
	halt(1);
	EXPECT_EQ(last_entry_injects(), interrupt_event(0x31));
	EXPECT_EQ(accesses_are(hlt().also_writes({kVmEntryInterruptionInformation})), "");
	halt(1);
	EXPECT_EQ(last_entry_injects(), 0u);
	EXPECT_EQ(accesses_are(hlt()), "");
}

TEST_F(Events, InterruptThatTheGuestCannotTakeAsksForTheWindow)
{
	enable_interrupts(false);
	halt(3);
	interrupt(0x31);
	halt(1);
	EXPECT_EQ(last_entry_injects(), 0u);
	EXPECT_EQ(accesses_are(hlt().also_writes({kPrimaryProcessorBasedControls})), "");
	EXPECT_TRUE(guest_.at_entry(guest_.entry_count() - 1, kPrimaryProcessorBasedControls) &
		    kInterruptWindowExiting);
	// It is requested once.
	halt(1);
	EXPECT_EQ(accesses_are(hlt()), "");

	Step window = interrupt_window_exit();
	window.guest_did = has_rflags(kFlagsFixed | kFlagIf);
	guest_.then(window);
	halt(1);
	EXPECT_EQ(last_entry_injects(), interrupt_event(0x31));
	EXPECT_EQ(accesses_are({{kExitReason, kGuestRflags, kGuestInterruptibilityState},
				{kVmEntryInterruptionInformation, kPrimaryProcessorBasedControls}}),
		  "");
	EXPECT_FALSE(guest_.at_entry(guest_.entry_count() - 1, kPrimaryProcessorBasedControls) &
		     kInterruptWindowExiting);
}

TEST_F(Events, NmiCostsOneWriteAndWaitsForTheEndOfBlocking)
{
	halt(3);
	EXPECT_EQ(machine_.ioctl(KVM_NMI), 0);
	guest_.then(hlt_exit(has_interruptibility(kNmiBlocks)));
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_EQ(last_entry_injects(), kNmiEvent);
	EXPECT_EQ(accesses_are(hlt().also_writes({kVmEntryInterruptionInformation})), "");

	EXPECT_EQ(machine_.ioctl(KVM_NMI), 0);
	halt(1);
	EXPECT_EQ(last_entry_injects(), 0u);
	EXPECT_EQ(accesses_are(hlt().also_writes({kPrimaryProcessorBasedControls})), "");
	EXPECT_TRUE(guest_.at_entry(guest_.entry_count() - 1, kPrimaryProcessorBasedControls) & kNmiWindowExiting);

	guest_.then(exit_for(reason::kNmiWindow, 0, has_interruptibility(0)));
	halt(1);
	EXPECT_EQ(last_entry_injects(), kNmiEvent);
	EXPECT_EQ(accesses_are({{kExitReason, kGuestInterruptibilityState},
				{kVmEntryInterruptionInformation, kPrimaryProcessorBasedControls}}),
		  "");
}

// Userspace may set contradictory state; VM-entry's checks, which the guest here makes, must not see it.
TEST_F(Events, BlockingThatContradictsFlagsIsReconciled)
{
	for (u64 flags : {kFlagsFixed, kFlagsFixed | kFlagIf, kFlagsFixed | kFlagTf, kFlagsFixed | kFlagIf | kFlagTf}) {
		for (u8 shadow : {KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_MOV_SS,
				  KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS}) {
			machine_.set_rflags(flags);
			kvm_vcpu_events events = {};
			events.flags = KVM_VCPUEVENT_VALID_SHADOW;
			events.interrupt.shadow = shadow;
			EXPECT_EQ(machine_.ioctl(KVM_SET_VCPU_EVENTS, events), 0);
			guest_.then(hlt_exit([](GuestState& guest) {
				// The blocked event has been delivered, and its handler has returned.
				guest.set(kGuestInterruptibilityState, 0);
				guest.set(kGuestPendingDebugExceptions, 0);
				guest.set(kGuestRflags, kFlagsFixed);
			}));
			EXPECT_EQ(machine_.run_vcpu(), 0);
			u64 blocking = guest_.at_entry(guest_.entry_count() - 1, kGuestInterruptibilityState);
			u64 pending = guest_.at_entry(guest_.entry_count() - 1, kGuestPendingDebugExceptions);
			EXPECT_EQ(pending, blocking && (flags & kFlagTf) ? kPendingSingleStep : 0)
				<< flags << ' ' << +shadow;
		}
	}
}

// A single step is pending while STI blocks; then, with BTF, only branches trap, and none may be pending.
TEST_F(Events, BlockingThatContradictsDebugctlIsReconciled)
{
	halt(1);
	guest_.then(exit_for(reason::kExternalInterrupt, 0, [](GuestState& guest) {
		guest.set(kGuestRflags, kFlagsFixed | kFlagIf | kFlagTf);
		guest.set(kGuestInterruptibilityState, kStiBlocks);
		guest.set(kGuestPendingDebugExceptions, kPendingSingleStep);
	}));
	host_.signal_pending = [this] { return guest_.script_is_done(); };
	EXPECT_EQ(machine_.run_vcpu(), -EINTR);
	host_.signal_pending = {};
	struct {
		kvm_msrs header;
		kvm_msr_entry entry;
	} msrs = {};
	msrs.header.nmsrs = 1;
	msrs.entry.index = msr::kDebugctl;
	msrs.entry.data = kBtf;
	EXPECT_EQ(machine_.ioctl(KVM_SET_MSRS, msrs), 1);
	halt(1);
	EXPECT_EQ(guest_.at_entry(guest_.entry_count() - 1, kGuestInterruptibilityState), kStiBlocks);
	EXPECT_EQ(guest_.at_entry(guest_.entry_count() - 1, kGuestPendingDebugExceptions), 0u);
	EXPECT_EQ(guest_.at_entry(guest_.entry_count() - 1, kGuestIa32Debugctl), kBtf);
}

}  // namespace
}  // namespace vregcache::test
