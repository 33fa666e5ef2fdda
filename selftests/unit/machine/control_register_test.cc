// SPDX-License-Identifier: GPL-2.0
// Other effects of a MOV to a control register.
#include "exits.h"

namespace vregcache::test {
namespace {

constexpr u64 kPdpt = 0x2000, kPresent = 1;
constexpr u64 kCr0Cd = 1u << 30, kCr0Wp = 1u << 16;

class PaePaging : public VcpuFixture {
 protected:
	PaePaging()
	{
		set_pdpte(1, 0x3000 | kPresent);
		kvm_sregs state = machine_.sregs();
		state.efer = 0;
		state.cr3 = kPdpt;
		state.cs.l = 0;
		state.cs.db = 1;
		EXPECT_EQ(machine_.ioctl(KVM_SET_SREGS, state), 0);
	}

	void set_pdpte(u32 number, u64 value)
	{
		__builtin_memcpy(machine_.memory + kPdpt + sizeof(value) * number, &value, sizeof(value));
	}

	// Another PDPTE is in memory when the guest toggles these bits of CR0.
	void turn_over(u64 bits)
	{
		guest_.then(exit_for_instruction(reason::kControlRegister, 3, 0, [this, bits](GuestState& guest) {
			set_pdpte(1, 0x4000 | kPresent);
			guest.gpr[Gpr::kRax] = guest[kCr0ReadShadow] ^ bits;
		}));
		machine_.run_to_hlt();
	}
};

TEST_F(PaePaging, PdptesAreLoadedWhenCachingChanges)
{
	turn_over(kCr0Cd);
	EXPECT_EQ(guest_.at_entry(0, kGuestPdpte1), 0x3000 | kPresent);
	EXPECT_EQ(guest_.at_entry(1, kGuestPdpte1), 0x4000 | kPresent);
}

TEST_F(PaePaging, PdptesStayWhenWriteProtectionChanges)
{
	turn_over(kCr0Wp);
	EXPECT_EQ(guest_.at_entry(1, kGuestPdpte1), 0x3000 | kPresent);
}

// A reserved bit: #GP(0), and CR0 is unchanged.
TEST_F(PaePaging, PdptesThatCannotBeLoadedLeaveCr0)
{
	set_pdpte(0, kPresent | 1u << 1);
	u64 before = machine_.sregs().cr0;
	turn_over(kCr0Cd);
	EXPECT_EQ(machine_.sregs().cr0, before);
	EXPECT_EQ(guest_.at_entry(1, kVmEntryInterruptionInformation), exception_event(13) | kEventHasErrorCode);
}

}  // namespace
}  // namespace vregcache::test
