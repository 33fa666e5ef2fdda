// SPDX-License-Identifier: GPL-2.0
// General-purpose registers, RIP and RSP by the guest's mode, and the PDPTEs.

#include <gtest/gtest.h>
#include <vregcache/general_register.h>
#include <vregcache/pdptes.h>

#include <string>

#include "cache_fixture.h"

namespace vregcache::test {
namespace {

constexpr Reg kCsRights = segment_register(Segment::kCs, SegmentPart::kAccessRights);
constexpr u64 kLma = 0x400;   // SDM Vol. 3A, 2.2.1
constexpr u64 kCsL = 0x2000;  // SDM Vol. 3C, table 25-2
constexpr u64 kWide = 0x1122334455667788;
constexpr u64 kNarrow = 0x55667788;

struct Mode {
	const char* name;
	u64 efer;
	u64 cs_rights;
	bool is_64bit;
};

constexpr Mode kModes[] = {
	{"Legacy", 0xd01 & ~kLma, 0xc09b, false},
	{"LegacyWithL", 0, 0xc09b | kCsL, false},  // the bit has no meaning there
	{"Compatibility", kLma | 0x101, 0xc09b, false},
	{"SixtyFour", kLma | 0x101, 0xa09b, true},
};

class GeneralRegister : public CacheFixture, public testing::WithParamInterface<Mode> {
 protected:
	GeneralRegister()
	{
		memory_.poke(kVmcsA, encoding_of(Reg::kEfer), GetParam().efer);
		memory_.poke(kVmcsA, encoding_of(kCsRights), GetParam().cs_rights);
		for (u8 number = 0; number < kGprSlots; number++)
			file_.value[number] = 0xdead000000000000 + number;
	}

	static u64 cut(u64 value) { return GetParam().is_64bit ? value : value & 0xffffffff; }
	std::size_t rights_reads() { return cpu_.count(AccessKind::kVmread, encoding_of(kCsRights)); }

	GprFile file_;
};

INSTANTIATE_TEST_SUITE_P(Modes, GeneralRegister, testing::ValuesIn(kModes),
			 [](const auto& info) { return std::string(info.param.name); });

TEST_P(GeneralRegister, SixtyFourBitModeIsLongModeWithA64BitCodeSegment)
{
	EXPECT_EQ(in_64bit_mode(cache_, loaded_).value(), GetParam().is_64bit);
	// Outside long mode the segment does not matter.
	EXPECT_EQ(rights_reads(), GetParam().efer & kLma ? 1u : 0u);
}

TEST_P(GeneralRegister, ReadIsAsWideAsTheMode)
{
	for (u8 number = 0; number < 16; number++) {
		Gpr gpr = static_cast<Gpr>(number);
		if (gpr == Gpr::kRsp)
			continue;
		file_.value[number] = kWide + number;
		EXPECT_EQ(read_gpr(cache_, loaded_, file_, gpr).value(), cut(kWide + number));
		EXPECT_EQ(read_gpr_raw(cache_, loaded_, file_, gpr).value(), kWide + number);
	}
	EXPECT_EQ(cpu_.count(AccessKind::kVmread, encoding_of(Reg::kRsp)), 0u);
}

TEST_P(GeneralRegister, WriteIsAsWideAsTheMode)
{
	for (u8 number = 0; number < 16; number++) {
		Gpr gpr = static_cast<Gpr>(number);
		if (gpr == Gpr::kRsp)
			continue;
		ASSERT_TRUE(write_gpr(cache_, loaded_, file_, gpr, kWide).ok());
		EXPECT_EQ(file_.value[number], cut(kWide));
		ASSERT_TRUE(write_gpr_raw(cache_, loaded_, file_, gpr, kWide).ok());
		EXPECT_EQ(file_.value[number], kWide);
	}
	EXPECT_TRUE(cache_.dirty().empty());
	// Only those sixteen slots are written, without RSP's.
	EXPECT_EQ(file_.value[4], 0xdead000000000004u);
	for (u8 number = 16; number < kGprSlots; number++)
		EXPECT_EQ(file_.value[number], 0xdead000000000000 + number);
}

TEST_P(GeneralRegister, RspIsTheVmcss)
{
	memory_.poke(kVmcsA, encoding_of(Reg::kRsp), kWide);
	EXPECT_EQ(read_gpr_raw(cache_, loaded_, file_, Gpr::kRsp).value(), kWide);
	EXPECT_EQ(read_gpr(cache_, loaded_, file_, Gpr::kRsp).value(), cut(kWide));
	EXPECT_EQ(read_in_mode<Reg::kRsp>(cache_, loaded_).value(), cut(kWide));
	ASSERT_TRUE(write_gpr(cache_, loaded_, file_, Gpr::kRsp, kWide + 1).ok());
	EXPECT_EQ(cache_.read<Reg::kRsp>(loaded_).value(), cut(kWide + 1));
	ASSERT_TRUE(write_gpr_raw(cache_, loaded_, file_, Gpr::kRsp, kWide + 2).ok());
	EXPECT_EQ(cache_.read<Reg::kRsp>(loaded_).value(), kWide + 2);
	ASSERT_TRUE(write_in_mode<Reg::kRsp>(cache_, loaded_, kWide + 3).ok());
	EXPECT_EQ(cache_.read<Reg::kRsp>(loaded_).value(), cut(kWide + 3));
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRsp));
	EXPECT_EQ(file_[Gpr::kRsp], 0xdead000000000004u);
}

TEST_P(GeneralRegister, RipByTheMode)
{
	memory_.poke(kVmcsA, encoding_of(Reg::kRip), kWide);
	EXPECT_EQ(read_in_mode<Reg::kRip>(cache_, loaded_).value(), cut(kWide));
	EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), kWide);
	ASSERT_TRUE(write_in_mode<Reg::kRip>(cache_, loaded_, kWide + 1).ok());
	EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), cut(kWide + 1));
}

TEST_P(GeneralRegister, ModeIsAskedForOnlyWhenItMatters)
{
	file_[Gpr::kRbx] = kNarrow;
	memory_.poke(kVmcsA, encoding_of(Reg::kRip), kNarrow);
	EXPECT_EQ(read_gpr(cache_, loaded_, file_, Gpr::kRbx).value(), kNarrow);
	ASSERT_TRUE(write_gpr(cache_, loaded_, file_, Gpr::kRcx, kNarrow).ok());
	EXPECT_EQ(read_in_mode<Reg::kRip>(cache_, loaded_).value(), kNarrow);
	ASSERT_TRUE(write_in_mode<Reg::kRsp>(cache_, loaded_, kNarrow).ok());
	file_[Gpr::kRbx] = kWide;
	EXPECT_EQ(read_gpr_raw(cache_, loaded_, file_, Gpr::kRbx).value(), kWide);
	EXPECT_EQ(cpu_.log(), one_vmread(Reg::kRip));
}

TEST_P(GeneralRegister, RipMovesOnAndWrapsWhereItIsEip)
{
	struct {
		u64 from;
		u64 to_64bit;
		u64 to_32bit;
		bool asks;
	} const cases[] = {
		{0x1000, 0x100f, 0x100f, false},    {0xfffffff0, 0xffffffff, 0xffffffff, false},
		{0xfffffff1, 0x100000000, 0, true}, {0xffffffff80000000, 0xffffffff8000000f, 0xffffffff8000000f, false},
		{0xfffffffffffffff8, 7, 7, true},
	};
	for (const auto& one : cases) {
		SCOPED_TRACE(one.from);
		ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
		memory_.poke(kVmcsA, encoding_of(Reg::kRip), one.from);
		cpu_.clear_log();
		ASSERT_TRUE(add_to_rip(cache_, loaded_, 15).ok());
		EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), GetParam().is_64bit ? one.to_64bit : one.to_32bit);
		bool crosses_upwards = one.asks && one.to_64bit >> 32;
		EXPECT_EQ(rights_reads(), crosses_upwards && (GetParam().efer & kLma) ? 1u : 0u);
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
	}
}

TEST_P(GeneralRegister, NumbersWithoutARegisterDoNothingAndAreTold)
{
	for (u32 number = 16; number < 256; number++) {
		SCOPED_TRACE(number);
		Gpr gpr = static_cast<Gpr>(number);
		GprFile before = file_;
		cache_.hooks().observer.clear();
		EXPECT_EQ(read_gpr(cache_, loaded_, file_, gpr).error(), Error::kNoRegister);
		EXPECT_EQ(read_gpr_raw(cache_, loaded_, file_, gpr).error(), Error::kNoRegister);
		EXPECT_EQ(write_gpr(cache_, loaded_, file_, gpr, kWide).error(), Error::kNoRegister);
		EXPECT_EQ(write_gpr_raw(cache_, loaded_, file_, gpr, kWide).error(), Error::kNoRegister);
		EXPECT_EQ(cache_.hooks().observer.events(), std::vector<Event>(4, no_register_event(number)));
		for (u32 slot = 0; slot < kGprSlots; slot++)
			EXPECT_EQ(file_.value[slot], before.value[slot]);
	}
	EXPECT_TRUE(cpu_.log().empty());
	EXPECT_TRUE(cache_.dirty().empty());
}

TEST_P(GeneralRegister, FailedReadOfTheModeReachesTheCaller)
{
	cpu_.fail_field(encoding_of(Reg::kEfer), Error::kVmFailValid);
	file_[Gpr::kRbx] = kWide;
	EXPECT_EQ(read_gpr(cache_, loaded_, file_, Gpr::kRbx).error(), Error::kVmFailValid);
	EXPECT_EQ(write_gpr(cache_, loaded_, file_, Gpr::kRcx, kWide).error(), Error::kVmFailValid);
	EXPECT_EQ(write_in_mode<Reg::kRip>(cache_, loaded_, kWide).error(), Error::kVmFailValid);
	EXPECT_EQ(file_[Gpr::kRcx], 0xdead000000000001u);
	EXPECT_TRUE(cache_.dirty().empty());
}

TEST(EdxEax, IsTheLowHalvesOfTwoRegisters)
{
	GprFile file;
	file[Gpr::kRax] = 0x1111111122222222;
	file[Gpr::kRdx] = 0x3333333344444444;
	EXPECT_EQ(read_edx_eax(file), 0x4444444422222222u);
	write_edx_eax(file, 0x8899aabbccddeeff);
	EXPECT_EQ(file[Gpr::kRax], 0xccddeeffu);
	EXPECT_EQ(file[Gpr::kRdx], 0x8899aabbu);
}

class PdptesTest : public CacheFixture {};

TEST_F(PdptesTest, AreFourRegisters)
{
	constexpr Reg kFour[] = {Reg::kPdpte0, Reg::kPdpte1, Reg::kPdpte2, Reg::kPdpte3};
	auto read = read_pdptes(cache_, loaded_);
	ASSERT_TRUE(read.ok());
	EXPECT_EQ(cpu_.log().size(), 4u);
	for (u32 i = 0; i < 4; i++)
		EXPECT_EQ(read.value().entry[i], field(kFour[i]));
	Pdptes other = {{1, 2, 3, 4}};
	write_pdptes(cache_, loaded_, other);
	EXPECT_EQ(read_pdptes(cache_, loaded_).value(), other);
	EXPECT_EQ(cache_.dirty().size(), 4u);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	for (u32 i = 0; i < 4; i++)
		EXPECT_EQ(field(kFour[i]), i + 1);
}

TEST_F(PdptesTest, FailureOfAnyFailsTheRead)
{
	for (u32 nth = 1; nth <= 4; nth++) {
		ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
		cpu_.fail_nth_access(nth, Error::kFault);
		EXPECT_EQ(read_pdptes(cache_, loaded_).error(), Error::kFault);
	}
}

}  // namespace
}  // namespace vregcache::test
