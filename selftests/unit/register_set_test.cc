// SPDX-License-Identifier: GPL-2.0
// Register numbers, and sets of registers against std::set.

#include <gtest/gtest.h>
#include <vregcache/gpr.h>
#include <vregcache/register.h>

#include <random>
#include <set>

#include "recorder.h"
#include "sdm_registers.h"

namespace vregcache::test {
namespace {

std::set<int> members(RegSet set)
{
	std::set<int> numbers;
	for (int i = 0; i < 64; i++) {
		if (set.contains(static_cast<Reg>(i)))
			numbers.insert(i);
	}
	return numbers;
}

TEST(Register, ExistsWhenItIsInTheTable)
{
	std::set<int> in_table;
	for (const SdmRegister& entry : kSdmRegisters)
		in_table.insert(index(entry.reg));
	EXPECT_EQ(in_table.size(), kSdmRegisters.size());
	for (int i = 0; i < 256; i++)
		EXPECT_EQ(is_register(static_cast<Reg>(i)), in_table.contains(i)) << i;
}

TEST(Register, SegmentPartsHaveNumbersOfTheirOwn)
{
	std::set<Reg> seen;
	for (u8 segment = 0; segment < kSegmentCount; segment++) {
		for (u8 part = 0; part < 4; part++) {
			Reg reg = segment_register(static_cast<Segment>(segment), static_cast<SegmentPart>(part));
			EXPECT_TRUE(is_register(reg));
			EXPECT_GE(reg, Reg::kFirstSegment);
			seen.insert(reg);
		}
	}
	EXPECT_EQ(seen.size(), 32u);
}

TEST(Register, GeneralPurposeOnesAreSixteen)
{
	for (int i = 0; i < 256; i++)
		EXPECT_EQ(is_register(static_cast<Gpr>(i)), i < 16) << i;
}

TEST(RegSet, EmptyHasNoMember)
{
	RegSet set;
	EXPECT_TRUE(set.empty());
	EXPECT_EQ(set.size(), 0u);
	EXPECT_EQ(set.bits(), 0u);
	EXPECT_TRUE(members(set).empty());
}

TEST(RegSet, OfRegistersHasThoseMembers)
{
	RegSet set = {Reg::kRip, Reg::kDr7, static_cast<Reg>(63)};
	EXPECT_EQ(members(set), (std::set<int>{index(Reg::kRip), index(Reg::kDr7), 63}));
	EXPECT_EQ(set.size(), 3u);
	EXPECT_FALSE(set.empty());
}

TEST(RegSet, AllHasEveryRegisterAndNothingElse)
{
	std::set<int> expected;
	for (const SdmRegister& entry : kSdmRegisters)
		expected.insert(index(entry.reg));
	EXPECT_EQ(members(RegSet::all()), expected);
	EXPECT_EQ(RegSet::all().size(), kSdmRegisters.size());
}

TEST(RegSet, RangeHasBothEnds)
{
	for (int first = 0; first < 64; first++) {
		for (int last = first; last < 64; last++) {
			std::set<int> expected;
			for (int i = first; i <= last; i++)
				expected.insert(i);
			ASSERT_EQ(members(RegSet::range(static_cast<Reg>(first), static_cast<Reg>(last))), expected);
		}
	}
}

TEST(RegSet, FirstIsTheLowestMember)
{
	for (int i = 0; i < 64; i++) {
		RegSet set = RegSet(~u64{0} << i);
		EXPECT_EQ(index(set.first()), i);
	}
}

TEST(RegSet, OperatorsAreThoseOfSets)
{
	std::mt19937_64 random(1);
	for (int round = 0; round < 1000; round++) {
		RegSet a = RegSet(random());
		RegSet b = RegSet(random());
		std::set<int> both;
		std::set<int> either;
		std::set<int> only_a;
		for (int i = 0; i < 64; i++) {
			bool in_a = members(a).contains(i);
			bool in_b = members(b).contains(i);
			if (in_a && in_b)
				both.insert(i);
			if (in_a || in_b)
				either.insert(i);
			if (in_a && !in_b)
				only_a.insert(i);
		}
		ASSERT_EQ(members(a & b), both);
		ASSERT_EQ(members(a | b), either);
		ASSERT_EQ(members(a - b), only_a);
		ASSERT_EQ((a | b).size(), either.size());
		ASSERT_TRUE(a.contains(a & b));
		ASSERT_EQ(a.contains(b), (b - a).empty());

		RegSet changed = a;
		changed |= b;
		ASSERT_EQ(changed, a | b);
		changed = a;
		changed -= b;
		ASSERT_EQ(changed, a - b);
	}
}

TEST(RegSet, ContainsSetNeedsEveryMember)
{
	RegSet set = {Reg::kRip, Reg::kRsp};
	EXPECT_TRUE(set.contains(RegSet()));
	EXPECT_TRUE(set.contains(RegSet(Reg::kRsp)));
	EXPECT_TRUE(set.contains(set));
	EXPECT_FALSE(set.contains(RegSet(Reg::kRsp, Reg::kRflags)));
}

// The numbers are those of instruction encodings (SDM Vol. 2A, table 2-2 and the REX prefixes).
TEST(GprFile, HasASlotForEachRegisterInTheOrderOfInstructionEncodings)
{
	GprFile file;
	EXPECT_EQ(file[Gpr::kR15], 0u);
	file[Gpr::kRax] = 1;
	file[Gpr::kRsp] = 2;
	file[Gpr::kRdi] = 3;
	file[Gpr::kR15] = 4;
	EXPECT_EQ(file.value[0], 1u);
	EXPECT_EQ(file.value[4], 2u);
	EXPECT_EQ(file.value[7], 3u);
	EXPECT_EQ(file.value[15], 4u);
	const GprFile& constant = file;
	EXPECT_EQ(constant[Gpr::kRdi], 3u);
}

// ---- sets of any size ----

template <class Set>
class AnyRegSet : public testing::Test {};

template <unsigned kCount>
struct SetOf : BasicRegSet<kCount> {
	static constexpr unsigned kRegisters = kCount;
};

using Sizes = testing::Types<SetOf<3>, SetOf<64>, SetOf<65>, SetOf<128>, SetOf<200>, SetOf<256>>;
TYPED_TEST_SUITE(AnyRegSet, Sizes);

TYPED_TEST(AnyRegSet, BehavesAsAStandardSet)
{
	constexpr unsigned kRegisters = TypeParam::kRegisters;
	using Set = BasicRegSet<kRegisters>;
	std::mt19937 random(kRegisters);
	auto expect_same = [](const Set& set, const std::set<unsigned>& members) {
		ASSERT_EQ(set.size(), members.size());
		EXPECT_EQ(set.empty(), members.empty());
		for (unsigned number = 0; number < kRegisters; number++)
			EXPECT_EQ(set.contains(static_cast<Reg>(number)), members.contains(number)) << number;
		Set rest = set;
		for (unsigned member : members) {
			EXPECT_EQ(index(rest.first()), member);
			rest = rest.without_first();
		}
		EXPECT_TRUE(rest.empty());
	};
	auto pick = [&] {
		std::pair<Set, std::set<unsigned>> picked;
		for (unsigned i = 0; i < kRegisters / 3 + 1; i++) {
			unsigned number = random() % kRegisters;
			picked.first |= static_cast<Reg>(number);
			picked.second.insert(number);
		}
		return picked;
	};
	for (int round = 0; round < 50; round++) {
		auto [one, members] = pick();
		auto [other, others] = pick();
		std::set<unsigned> both, either = others, difference;
		for (unsigned number : members) {
			(others.contains(number) ? both : difference).insert(number);
			either.insert(number);
		}
		expect_same(one, members);
		expect_same(one & other, both);
		expect_same(one | other, either);
		expect_same(one - other, difference);
		EXPECT_TRUE((one | other).contains(one));
		EXPECT_EQ(one.contains(other), both.size() == others.size());
		EXPECT_EQ(one == other, members == others);
	}
	expect_same(Set(), {});
	EXPECT_EQ(Set::all().size(), kRegisters);
	EXPECT_TRUE(Set::all() == Set::range(Reg{0}, static_cast<Reg>(kRegisters - 1)));
}

}  // namespace
}  // namespace vregcache::test
