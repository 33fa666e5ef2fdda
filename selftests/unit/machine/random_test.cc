// SPDX-License-Identifier: GPL-2.0
// Random exits and random ioctls between them.  In any case the checks of VM-entry pass (the guest makes them at each),
// no interrupt is lost or invented, nothing is done where the kernel would not allow it, and verification, which is
// switched on and off meanwhile, finds no mismatch (the host checks both).
#include <vmx/architecture.h>

#include <random>

#include "exits.h"

namespace vregcache::test {
namespace {

constexpr u64 kBtf = 1u << 1, kPendingSingleStep = 1u << 14;

class Chance {
 public:
	explicit Chance(u32 seed) : generator_(seed) {}

	u32 below(u32 limit) { return static_cast<u32>(generator_() % limit); }
	bool one_in(u32 number) { return below(number) == 0; }

 private:
	std::mt19937 generator_;
};

// Flags, blocking and pending debug exceptions as a CPU may leave them (SDM Vol. 3C, 25.4.2): STI blocks only if
// interrupts are enabled, never together with MOV SS, and a single step that is due is pending while one of them
// blocks.
void leave_consistent_state(Chance& chance, GuestState& guest, bool may_block)
{
	u64 flags = kFlagsFixed | (chance.one_in(2) ? kFlagIf : 0) | (chance.one_in(4) ? kFlagTf : 0) |
		    (chance.one_in(4) ? kFlagRf : 0);
	u32 blocking = chance.one_in(4) ? kNmiBlocks : 0;
	if (may_block && chance.one_in(4))
		blocking |= kMovSsBlocks;
	else if (may_block && chance.one_in(3) && (flags & kFlagIf))
		blocking |= kStiBlocks;
	bool steps = (flags & kFlagTf) && !(guest[kGuestIa32Debugctl] & kBtf);
	guest.set(kGuestRflags, flags);
	guest.set(kGuestInterruptibilityState, blocking);
	guest.set(kGuestPendingDebugExceptions,
		  (blocking & (kStiBlocks | kMovSsBlocks)) && steps ? kPendingSingleStep : 0);
}

Step random_exit(Chance& chance)
{
	Step steps[] = {
		cpuid_exit(),
		hlt_exit(),
		vmcall_exit(),
		wbinvd_exit(),
		rdmsr_exit(msr::kLstar),
		rdmsr_exit(msr::kFsBase),
		rdmsr_exit(0x12345),
		wrmsr_exit(msr::kStar, chance.below(4)),
		wrmsr_exit(msr::kDebugctl, chance.one_in(2) ? kBtf : 0),
		wrmsr_exit(msr::kEfer, 0x501 | (chance.one_in(2) ? 0x800 : 0)),
		wrmsr_exit(msr::kSysenterEip, chance.below(4)),
		out_exit(),
		in_exit(),
		mov_to_cr0_exit(),
		ept_violation_exit(),
		ept_violation_exit(kEptWrite | kEptNmiUnblockedByIret),
		ept_violation_exit(kEptWrite, exception_event(14) | kEventHasErrorCode, 2),
		external_interrupt_exit(),
		interrupt_window_exit(),
		exit_for(reason::kNmiWindow),
	};
	Step step = steps[chance.below(std::size(steps))];
	// A window opens only if nothing blocks, and nothing blocks while an event is being delivered.
	const bool window = step.reason == reason::kInterruptWindow || step.reason == reason::kNmiWindow;
	const bool may_block = !window && !(step.idt_vectoring & kEventValid);
	step.guest_did = [&chance, did = step.guest_did, window, may_block](GuestState& guest) {
		leave_consistent_state(chance, guest, may_block);
		if (window) {
			guest.set(kGuestRflags, kFlagsFixed | kFlagIf);
			guest.set(kGuestInterruptibilityState, 0);
		}
		if (did)
			did(guest);
	};
	return step;
}

void random_ioctl(Chance& chance, Machine& machine)
{
	switch (chance.below(8)) {
	case 0: {
		kvm_regs regs = machine.regs();
		regs.rflags = kFlagsFixed | (chance.one_in(2) ? kFlagIf : 0) | (chance.one_in(2) ? kFlagTf : 0);
		EXPECT_EQ(machine.ioctl(KVM_SET_REGS, regs), 0);
		break;
	}
	case 1: {
		kvm_sregs sregs = machine.sregs();
		sregs.cr3 = chance.below(4) * 0x1000;
		sregs.cr0 ^= chance.one_in(2) ? cr0::kAm : cr0::kTs;
		EXPECT_EQ(machine.ioctl(KVM_SET_SREGS, sregs), 0);
		break;
	}
	case 2: {
		kvm_vcpu_events events = {};
		EXPECT_EQ(machine.ioctl(KVM_GET_VCPU_EVENTS, events), 0);
		events.interrupt.shadow = static_cast<u8>(chance.below(4));
		events.nmi.masked = static_cast<u8>(chance.below(2));
		EXPECT_EQ(machine.ioctl(KVM_SET_VCPU_EVENTS, events), 0);
		break;
	}
	case 3: {
		struct {
			kvm_msrs header;
			kvm_msr_entry entry;
		} msrs = {};
		msrs.header.nmsrs = 1;
		msrs.entry.index = msr::kDebugctl;
		msrs.entry.data = chance.one_in(2) ? kBtf : 0;
		EXPECT_EQ(machine.ioctl(KVM_SET_MSRS, msrs), 1);
		break;
	}
	case 4:
		EXPECT_EQ(machine.ioctl(KVM_NMI), 0);
		break;
	default:
		break;
	}
}

class Random : public testing::TestWithParam<u32> {};

TEST_P(Random, ExitsAndIoctls)
{
	Chance chance(GetParam());
	Machine machine;
	machine.host.signal_pending = [&machine] { return machine.guest.script_is_done(); };
	u32 asked = 0, taken = 0, runs = 0;
	const u64 verified[] = {vrc_verified[VRC_VERIFIED_HITS], vrc_verified[VRC_VERIFIED_REGISTERS],
				vrc_verified[VRC_VERIFIED_LAST_WRITTEN]};
	machine.guest.at_each_entry = [&] {
		u64 information = Fields()[kVmEntryInterruptionInformation];
		if ((information & kEventValid) && (information & 0x7ff) == 0x31)
			taken++;
	};
	for (; runs < 300 && !testing::Test::HasFailure(); runs++) {
		if (chance.one_in(3)) {
			kvm_interrupt interrupt = {0x31};
			long result = machine.ioctl(KVM_INTERRUPT, interrupt);
			EXPECT_TRUE(result == 0 || result == -EEXIST);
			asked += result == 0;
		}
		if (chance.one_in(8))
			machine.host.verify(chance.one_in(2));
		random_ioctl(chance, machine);
		machine.run().request_interrupt_window = chance.one_in(4);
		for (u32 exits = chance.below(3) + 1; exits; exits--)
			machine.guest.then(random_exit(chance));
		// Signals are looked for when an interrupt has ended the guest's run.
		machine.guest.then(external_interrupt_exit());
		long result = machine.run_vcpu();
		EXPECT_TRUE(result == 0 || result == -EINTR) << result;
	}
	machine.guest.forget_script();
	EXPECT_FALSE(testing::Test::HasFailure()) << "in run " << runs;
	// One may still be pending.
	EXPECT_TRUE(taken == asked || taken + 1 == asked) << taken << " interrupts of " << asked;
	EXPECT_GT(taken, 20u);
	EXPECT_GT(vrc_verified[VRC_VERIFIED_HITS], verified[VRC_VERIFIED_HITS] + 100);
	EXPECT_GT(vrc_verified[VRC_VERIFIED_REGISTERS], verified[VRC_VERIFIED_REGISTERS] + 100);
	EXPECT_GT(vrc_verified[VRC_VERIFIED_LAST_WRITTEN], verified[VRC_VERIFIED_LAST_WRITTEN] + 1000);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Random, testing::Range(1u, 9u));

}  // namespace
}  // namespace vregcache::test
