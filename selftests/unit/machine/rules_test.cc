// SPDX-License-Identifier: GPL-2.0
// Rules of VM-entry, of events and of completed instructions, each at the VM-entry where it takes effect.
#include <vmx/architecture.h>

#include "exits.h"

namespace vregcache::test {
namespace {

constexpr u32 kInterruptWindowExiting = 1u << 2, kNmiWindowExiting = 1u << 22;
constexpr u64 kPendingSingleStep = 1u << 14;
constexpr u32 kUnknownMsr = 0x12345678;
constexpr u32 kGeneralProtection = exception_event(13);

class Rules : public VcpuFixture {
 protected:
	Rules() { machine_.run_to_hlt(); }

	// The guest exits with @step, and then executes an HLT.
	void exit_so(const Step& step)
	{
		guest_.then(step);
		machine_.run_to_hlt();
	}

	// The field at the @back'th VM-entry before the last.
	template <class Field>
	u64 entered_with(Field field, std::size_t back = 0)
	{
		return guest_.at_entry(guest_.entry_count() - 1 - back, field);
	}
	// Zero: no event was injected.
	u64 injected(std::size_t back = 0)
	{
		u64 information = entered_with(kVmEntryInterruptionInformation, back);
		return information & kEventValid ? information : 0;
	}
	u64 windows(std::size_t back = 0)
	{
		return entered_with(kPrimaryProcessorBasedControls, back) &
		       (kInterruptWindowExiting | kNmiWindowExiting);
	}

	void interrupt(u32 vector)
	{
		kvm_interrupt interrupt = {vector};
		EXPECT_EQ(machine_.ioctl(KVM_INTERRUPT, interrupt), 0);
	}
	void nmi() { EXPECT_EQ(machine_.ioctl(KVM_NMI), 0); }

	void block_by_sti()
	{
		kvm_vcpu_events events = {};
		events.flags = KVM_VCPUEVENT_VALID_SHADOW;
		events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
		EXPECT_EQ(machine_.ioctl(KVM_SET_VCPU_EVENTS, events), 0);
	}

	// 32-bit code without paging: in protected mode, or with PE clear.
	void leave_64bit_mode(bool protected_mode)
	{
		kvm_sregs state = machine_.sregs();
		state.cs.l = 0;
		state.cs.db = 1;
		state.cr0 = protected_mode ? 0x33 : 0x32;
		state.cr4 = 0;
		state.efer = 0;
		EXPECT_EQ(machine_.ioctl(KVM_SET_SREGS, state), 0);
	}
};

// It is read after the VM-exit's invalidation, so that it remains cached.
TEST_F(Rules, ReasonOfTheLastExitIsInMemory)
{
	vrc_raw_register raw = {};
	vrc_vcpu_raw_register(machine_.vcpu, index(Reg::kExitReason), &raw);
	EXPECT_TRUE(raw.available);
	EXPECT_EQ(raw.value, reason::kHlt);
}

TEST_F(Rules, DeliveryOfADebugExceptionEndsGeneralDetectAndBranchTraps)
{
	constexpr u64 kFixed = 1u << 10, kGeneralDetect = 1u << 13, kLbr = 1, kBtf = 2;
	Step step = exit_for(reason::kExceptionOrNmi, kPendingSingleStep, [](GuestState& guest) {
		guest.set(kGuestDr7, kFixed | kGeneralDetect);
		guest.set(kGuestIa32Debugctl, kLbr | kBtf);
	});
	step.interruption = exception_event(1);
	exit_so(step);
	EXPECT_EQ(injected(), exception_event(1));
	EXPECT_EQ(entered_with(kGuestDr7), kFixed);
	EXPECT_EQ(entered_with(kGuestIa32Debugctl), 0u);
}

// Its exit leaves no single step pending, but VM-entry requires one while STI blocks and TF is set.
TEST_F(Rules, DebugExceptionThatIsDeliveredAgainLeavesASingleStepPending)
{
	Step step = exit_for(reason::kExceptionOrNmi, 1, [](GuestState& guest) {
		guest.set(kGuestRflags, kFlagsFixed | kFlagIf | kFlagTf);
		guest.set(kGuestInterruptibilityState, kStiBlocks);
		guest.set(kGuestPendingDebugExceptions, 0);
	});
	step.interruption = exception_event(1);
	guest_.then(step);
	guest_.then(hlt_exit([](GuestState& guest) {
		guest.set(kGuestRflags, kFlagsFixed);
		guest.set(kGuestInterruptibilityState, 0);
		guest.set(kGuestPendingDebugExceptions, 0);
	}));
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_EQ(injected(), exception_event(1));
	EXPECT_EQ(entered_with(kGuestPendingDebugExceptions), kPendingSingleStep);
}

// The delivery of each may cause the next one, and no interrupt of the host's ends the guest's run in between.
TEST_F(Rules, InterruptsAreOnBeforeAnExceptionIsDelivered)
{
	for (u32 event : {exception_event(1), exception_event(17) | kEventHasErrorCode, exception_event(18)}) {
		Step step = exit_for(reason::kExceptionOrNmi, 0, [](GuestState& guest) {
			guest.set(kExitInterruptionErrorCode, 0);
			guest.set(kIdtVectoringErrorCode, 0);
		});
		step.interruption = event;
		guest_.then(step);
		guest_.then(cpuid_exit());
		std::vector<u32> at_entry;
		guest_.at_each_entry = [&] { at_entry.push_back(host_.interrupts_were_on); };
		machine_.run_to_hlt();
		guest_.at_each_entry = nullptr;
		ASSERT_GE(at_entry.size(), 3u);
		EXPECT_EQ(at_entry[1], at_entry[0] + 1);
		// Other exits are handled in the same window.
		EXPECT_EQ(at_entry[2], at_entry[1]);
	}
}

TEST_F(Rules, NmiThatAnExceptionOvertakesWaits)
{
	constexpr u32 kAlignmentCheck = exception_event(17) | kEventHasErrorCode;
	Step step = exit_for(reason::kExceptionOrNmi, 0, [](GuestState& guest) {
		guest.set(kGuestInterruptibilityState, kNmiBlocks);
		guest.set(kExitInterruptionErrorCode, 0);
	});
	step.interruption = kAlignmentCheck;
	step.idt_vectoring = kNmiEvent;
	guest_.then(step);
	exit_so(exit_for(reason::kNmiWindow));
	EXPECT_EQ(injected(1), kAlignmentCheck);
	EXPECT_EQ(windows(1), kNmiWindowExiting);
	EXPECT_EQ(injected(), kNmiEvent);
}

TEST_F(Rules, EventThatIsDueKeepsHltFromWaiting)
{
	machine_.set_rflags(kFlagsFixed);
	interrupt(0x31);
	// STI; HLT
	guest_.then(hlt_exit([](GuestState& guest) {
		guest.set(kGuestRflags, kFlagsFixed | kFlagIf);
		guest.set(kGuestInterruptibilityState, kStiBlocks);
	}));
	guest_.then(hlt_exit());
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_EQ(injected(), interrupt_event(0x31));
}

TEST_F(Rules, EipWraps)
{
	leave_64bit_mode(true);
	kvm_regs regs = machine_.regs();
	regs.rip = 0xfffffffe;
	EXPECT_EQ(machine_.ioctl(KVM_SET_REGS, regs), 0);
	exit_so(cpuid_exit());
	EXPECT_EQ(entered_with(kGuestRip), 0u);
}

TEST_F(Rules, FaultPushesRfAndItsErrorCode)
{
	exit_so(wrmsr_exit(kUnknownMsr, 0));
	EXPECT_EQ(injected(), kGeneralProtection | kEventHasErrorCode);
	EXPECT_TRUE(entered_with(kGuestRflags) & kFlagRf);
}

TEST_F(Rules, FaultInRealModeHasNoErrorCode)
{
	leave_64bit_mode(false);
	exit_so(wrmsr_exit(kUnknownMsr, 0));
	EXPECT_EQ(injected(), kGeneralProtection);
}

TEST_F(Rules, EferThatChangesAloneChangesTheControl)
{
	constexpr u64 kIa32eMode = 1u << 9;
	machine_.run_to_hlt();
	EXPECT_TRUE(entered_with(kVmEntryControls) & kIa32eMode);
	leave_64bit_mode(true);
	machine_.run_to_hlt();
	EXPECT_FALSE(entered_with(kVmEntryControls) & kIa32eMode);
}

// With IF clear, blocking by STI ends, so nothing delays the NMI.
TEST_F(Rules, FlagsAreReconciledBeforeTheEventIsChosen)
{
	machine_.set_rflags(kFlagsFixed);
	block_by_sti();
	nmi();
	machine_.run_to_hlt();
	EXPECT_EQ(injected(), kNmiEvent);
	EXPECT_EQ(windows(), 0u);
}

TEST_F(Rules, WindowIsAskedForWhileUserspaceWishesIt)
{
	machine_.set_rflags(kFlagsFixed);
	machine_.run_to_hlt();
	EXPECT_EQ(windows(), 0u);
	machine_.run().request_interrupt_window = 1;
	machine_.run_to_hlt();
	EXPECT_EQ(windows(), kInterruptWindowExiting);
	machine_.run().request_interrupt_window = 0;
	machine_.run_to_hlt();
	EXPECT_EQ(windows(), 0u);
}

// A CPU need not delay the NMI-window exit while STI blocks: the interrupt window opens when the blocking ends.
TEST_F(Rules, NmiWaitsWhileStiBlocks)
{
	machine_.set_rflags(kFlagsFixed | kFlagIf);
	block_by_sti();
	nmi();
	exit_so(hlt_exit());
	EXPECT_EQ(injected(1), 0u);
	EXPECT_EQ(windows(1), kInterruptWindowExiting);
	EXPECT_EQ(injected(), kNmiEvent);
}

TEST_F(Rules, NmiGoesBeforeAnInterrupt)
{
	machine_.set_rflags(kFlagsFixed | kFlagIf);
	interrupt(0x31);
	nmi();
	exit_so(interrupt_window_exit());
	EXPECT_EQ(injected(1), kNmiEvent);
	EXPECT_EQ(windows(1), kInterruptWindowExiting);
	EXPECT_EQ(injected(), interrupt_event(0x31));
}

TEST_F(Rules, ThirdNmiMergesWithTheSecond)
{
	for (int i = 0; i < 3; i++)
		nmi();
	// The second is due after the first HLT.
	exit_so(hlt_exit());
	EXPECT_EQ(injected(1), kNmiEvent);
	EXPECT_EQ(injected(), kNmiEvent);
	machine_.run_to_hlt();
	EXPECT_EQ(injected(), 0u);
}

TEST_F(Rules, Bit12OfIdtVectoringInformationIsNotInjected)
{
	constexpr u32 kUndefined = 1u << 12;
	exit_so(ept_violation_exit(kEptWrite, interrupt_event(0x31) | kUndefined));
	EXPECT_EQ(injected(), interrupt_event(0x31));
}

// The reason is the new one, whatever is cached from the previous one.
TEST_F(Rules, ReasonOfEachVmExitIsItsOwn)
{
	guest_.then(cpuid_exit());
	guest_.then(ept_violation_exit());
	guest_.then(cpuid_exit());
	exit_so(ept_violation_exit());
	EXPECT_EQ(entered_with(kGuestRip), kStartRip + 1 + 2 + 2);
}

// Another vCPU has used the CPU while interrupts were on.
TEST_F(Rules, GuestIsEnteredWithItsVmcsAfterAnotherVcpuRan)
{
	vrc_host_vcpu other;
	alignas(4096) static u8 pages[VRC_RUN_PAGES * 4096] = {};
	ASSERT_EQ(vrc_vcpu_create(machine_.vm, 1, &other, pages, &other.machine), 0);
	ASSERT_EQ(vrc_vcpu_set_up(other.machine), 0);
	u32 reschedules = 0;
	host_.need_resched = [&] { return guest_.script_is_done() && !reschedules; };
	host_.reschedule = [&] {
		reschedules++;
		vrc_vcpu_sched_out(machine_.vcpu);
		kvm_regs regs = {};
		EXPECT_EQ(vrc_vcpu_ioctl(other.machine, KVM_GET_REGS, reinterpret_cast<unsigned long>(&regs)), 0);
		vrc_vcpu_sched_in(machine_.vcpu);
		guest_.then(out_exit());
	};
	guest_.then(external_interrupt_exit());
	EXPECT_EQ(machine_.run_vcpu(), 0);
	EXPECT_EQ(reschedules, 1u);
	EXPECT_EQ(entered_with(kGuestRip), kStartRip + 1);
	host_.need_resched = {};
	host_.reschedule = {};
	vrc_vcpu_destroy(other.machine, false);
}

}  // namespace
}  // namespace vregcache::test
