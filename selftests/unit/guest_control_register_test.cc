// SPDX-License-Identifier: GPL-2.0
// CR0 and CR4 as the guest sees them, merged from the register in force and the read shadow.

#include <gtest/gtest.h>
#include <vregcache/guest_control_register.h>

#include <string>

#include "cache_fixture.h"

namespace vregcache::test {
namespace {

// The bits that the guest may own in these tests; it must not own bits 4 and 5 of CR4.
constexpr u64 kMay = 0xce;
using Cr0 = GuestCr0<kMay>;
using Cr4 = GuestCr4<kMay>;

template <class GuestRegister, Reg kHardwareReg, Reg kShadowReg>
struct Merged {
	using Guest = GuestRegister;
	static constexpr Reg kHardware = kHardwareReg;
	static constexpr Reg kShadow = kShadowReg;
};

template <class M>
class GuestControlRegisterTest : public CacheFixture {
 protected:
	void set_fields(u64 hardware, u64 shadow)
	{
		memory_.poke(kVmcsA, encoding_of(M::kHardware), hardware);
		memory_.poke(kVmcsA, encoding_of(M::kShadow), shadow);
	}

	void guest_runs(u64 hardware)
	{
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		memory_.poke(kVmcsA, encoding_of(M::kHardware), hardware);
		ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	}

	Result<u64> read(ControlRegisterShare share) { return M::Guest::read(cache_, loaded_, share); }
	void write(ControlRegisterShare share, u64 value) { M::Guest::write(cache_, loaded_, share, value); }
};

using Both = testing::Types<Merged<Cr0, Reg::kCr0, Reg::kCr0ReadShadow>, Merged<Cr4, Reg::kCr4, Reg::kCr4ReadShadow>>;

class MergedName {
 public:
	template <class M>
	static std::string GetName(int)
	{
		return M::kHardware == Reg::kCr0 ? "Cr0" : "Cr4";
	}
};

TYPED_TEST_SUITE(GuestControlRegisterTest, Both, MergedName);

// Whatever the share says, the template argument limits the bits that the guest owns.
TYPED_TEST(GuestControlRegisterTest, EachBitComesFromItsOwner)
{
	// Every combination of a bit in hardware and in the shadow, under every mask of the lowest bits.
	for (u64 owned = 0; owned <= 0xff; owned++) {
		ASSERT_TRUE(this->cache_.bind(this->loaded_, VmcsId::kNone).ok());
		ASSERT_TRUE(this->cache_.bind(this->loaded_, kVmcsA).ok());
		this->set_fields(0x8000000000000033, 0x4000000000000055);
		auto value = this->read({.guest_owned = owned});
		ASSERT_TRUE(value.ok());
		EXPECT_EQ(TypeParam::Guest::guest_host_mask({.guest_owned = owned}), ~(owned & kMay));
		for (u32 bit = 0; bit < 64; bit++) {
			u64 owner = (owned & kMay) >> bit & 1 ? 0x8000000000000033 : 0x4000000000000055;
			ASSERT_EQ(value.value() >> bit & 1, owner >> bit & 1) << "bit " << bit << " owned " << owned;
		}
	}
}

TYPED_TEST(GuestControlRegisterTest, ReadOfSomeBitsHasThoseAndTouchesOnlyTheFieldsThatHaveThem)
{
	ControlRegisterShare share = {.guest_owned = 0x0e};
	for (u64 bits = 0; bits <= 0xff; bits++) {
		SCOPED_TRACE(bits);
		ASSERT_TRUE(this->cache_.bind(this->loaded_, VmcsId::kNone).ok());
		ASSERT_TRUE(this->cache_.bind(this->loaded_, kVmcsA).ok());
		this->set_fields(0x33, 0x55);
		this->cpu_.clear_log();
		auto value = TypeParam::Guest::read_bits(this->cache_, this->loaded_, share, bits);
		EXPECT_EQ(value.value(), ((0x33 & 0x0e) | (0x55 & ~u64{0x0e})) & bits);
		auto reads = [&](Reg reg) { return this->cpu_.count(AccessKind::kVmread, encoding_of(reg)); };
		EXPECT_EQ(reads(TypeParam::kHardware), bits & 0x0e ? 1u : 0u);
		EXPECT_EQ(reads(TypeParam::kShadow), bits & ~u64{0x0e} ? 1u : 0u);
	}
}

TYPED_TEST(GuestControlRegisterTest, BitsThatAreNeverTheGuestsAreKnownAfterVmExit)
{
	this->set_fields(0x11, 0x22);
	auto read = [&] { return TypeParam::Guest::template read_host_owned<0x31>(this->cache_, this->loaded_); };
	EXPECT_EQ(read().value(), 0x20u);
	EXPECT_EQ(this->cpu_.log(), this->one_vmread(TypeParam::kShadow));
	this->guest_runs(0x33);
	this->cpu_.clear_log();
	EXPECT_EQ(read().value(), 0x20u);
	EXPECT_TRUE(this->cpu_.log().empty());
}

TYPED_TEST(GuestControlRegisterTest, ReadWithNothingGuestOwnedTakesTheShadowAlone)
{
	this->set_fields(0x11, 0x22);
	EXPECT_EQ(this->read({}).value(), 0x22u);
	EXPECT_EQ(this->cpu_.log(), this->one_vmread(TypeParam::kShadow));
}

TYPED_TEST(GuestControlRegisterTest, ShadowIsStillKnownAfterVmExit)
{
	this->set_fields(0x11, 0x22);
	ASSERT_TRUE(this->read({.guest_owned = 2}).ok());
	this->guest_runs(0x42);
	this->cpu_.clear_log();
	EXPECT_EQ(this->read({}).value(), 0x22u);
	EXPECT_TRUE(this->cpu_.log().empty());
	EXPECT_EQ(this->read({.guest_owned = 0x42}).value(), 0x62u);
	EXPECT_EQ(this->cpu_.log(), this->one_vmread(TypeParam::kHardware));
}

TYPED_TEST(GuestControlRegisterTest, WriteForcesOnesInHardwareAndLeavesGuestOwnedBitsOutOfTheShadow)
{
	this->set_fields(0, 0);
	ControlRegisterShare share = {.guest_owned = 0x0e, .forced_ones = 0x2020};
	this->write(share, 0x8000000000000085);
	EXPECT_TRUE(this->cpu_.log().empty());
	EXPECT_EQ(this->cache_.dirty(), RegSet(TypeParam::kHardware, TypeParam::kShadow));
	ASSERT_TRUE(this->cache_.write_back(this->pinned_).ok());
	EXPECT_EQ(this->field(TypeParam::kHardware), 0x80000000000020a5u);
	EXPECT_EQ(this->field(TypeParam::kShadow), 0x8000000000000081u);
}

TYPED_TEST(GuestControlRegisterTest, GuestReadsWhatItWroteWhateverIsForced)
{
	ControlRegisterShare share = {.guest_owned = 0x0e, .forced_ones = 0x2020};
	for (u64 value : {u64{0}, u64{0x85}, u64{0x20a0}, ~u64{0}}) {
		this->write(share, value);
		EXPECT_EQ(this->read(share).value(), value);
		ASSERT_TRUE(this->cache_.write_back(this->pinned_).ok());
		EXPECT_EQ(this->read(share).value(), value);
	}
}

TYPED_TEST(GuestControlRegisterTest, BitsThatTheGuestOwnsAreReadFromTheVmcsAfterVmExit)
{
	ControlRegisterShare share = {.guest_owned = 0x0e, .forced_ones = 0x2020};
	this->write(share, 0x01);
	this->guest_runs(0x2020 | 0x0a);
	EXPECT_EQ(this->read(share).value(), 0x0bu);
}

// Even if guest-owned bits have changed since the host's last write.
TYPED_TEST(GuestControlRegisterTest, WriteOfWhatWasReadStoresNothing)
{
	ControlRegisterShare share = {.guest_owned = 0x0e, .forced_ones = 0x2020};
	for (u64 guests : {0x00, 0x02, 0x0c, 0x0e}) {
		this->write(share, 0x85);
		this->guest_runs(0x2020 | 0x81 | guests);
		u64 value = this->read(share).value();
		EXPECT_EQ(value, 0x81 | guests);
		this->write(share, value);
		EXPECT_TRUE(this->cache_.dirty().empty());
	}
}

TYPED_TEST(GuestControlRegisterTest, FailureOfEitherFieldReachesTheCaller)
{
	for (u32 nth : {1u, 2u}) {
		ASSERT_TRUE(this->cache_.bind(this->loaded_, VmcsId::kNone).ok());
		ASSERT_TRUE(this->cache_.bind(this->loaded_, kVmcsA).ok());
		this->cpu_.fail_nth_access(nth, Error::kFault);
		EXPECT_EQ(this->read({.guest_owned = 2}).error(), Error::kFault);
	}
}

// SDM Vol. 3A, 4.1.1 and 4.4.1: PE, NW, CD and PG; PSE, PAE, LA57, PCIDE and SMEP.
TEST(GuestControlRegister, BitsToFollowAreThoseOfTheSdm)
{
	EXPECT_EQ(kCr0HostMustFollow, 0xe0000001u);
	EXPECT_EQ(kCr4HostMustFollow, 0x121030u);
}

}  // namespace
}  // namespace vregcache::test
