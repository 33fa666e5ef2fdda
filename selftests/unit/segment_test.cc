// SPDX-License-Identifier: GPL-2.0
// Segment registers as a whole; their parts are cached separately.

#include <gtest/gtest.h>
#include <vregcache/segment.h>

#include "cache_fixture.h"

namespace vregcache::test {
namespace {

constexpr Segment kSegments[] = {Segment::kEs, Segment::kCs, Segment::kSs,   Segment::kDs,
				 Segment::kFs, Segment::kGs, Segment::kLdtr, Segment::kTr};

RegSet parts_of(Segment segment)
{
	return {segment_register(segment, SegmentPart::kSelector), segment_register(segment, SegmentPart::kBase),
		segment_register(segment, SegmentPart::kLimit), segment_register(segment, SegmentPart::kAccessRights)};
}

class SegmentTest : public CacheFixture {
 protected:
	SegmentState in_vmcs(Segment segment)
	{
		return {.base = field(segment_register(segment, SegmentPart::kBase)),
			.limit = static_cast<u32>(field(segment_register(segment, SegmentPart::kLimit))),
			.access_rights = static_cast<u32>(field(segment_register(segment, SegmentPart::kAccessRights))),
			.selector = static_cast<u16>(field(segment_register(segment, SegmentPart::kSelector)))};
	}
};

TEST_F(SegmentTest, ReadTakesEachOfItsFourFieldsOnce)
{
	for (Segment segment : kSegments) {
		SCOPED_TRACE(static_cast<int>(segment));
		forget_records();
		RegSet before = cache_.available();
		auto state = read_segment(cache_, loaded_, segment);
		ASSERT_TRUE(state.ok());
		EXPECT_EQ(state.value(), in_vmcs(segment));
		EXPECT_EQ(cpu_.log().size(), 4u);
		for (u8 part = 0; part < 4; part++) {
			Reg reg = segment_register(segment, static_cast<SegmentPart>(part));
			EXPECT_EQ(cpu_.count(AccessKind::kVmread, encoding_of(reg)), 1u);
		}
		EXPECT_EQ(cache_.available() - before, parts_of(segment));
	}
}

TEST_F(SegmentTest, SecondReadTouchesNoField)
{
	for (Segment segment : kSegments)
		ASSERT_TRUE(read_segment(cache_, loaded_, segment).ok());
	cpu_.clear_log();
	for (Segment segment : kSegments)
		EXPECT_EQ(read_segment(cache_, loaded_, segment).value(), in_vmcs(segment));
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_F(SegmentTest, WholeSegmentReadsOnlyThePartsThatAreMissing)
{
	Reg access_rights = segment_register(Segment::kCs, SegmentPart::kAccessRights);
	ASSERT_TRUE(cache_.read(loaded_, access_rights).ok());
	EXPECT_EQ(cpu_.log(), one_vmread(access_rights));
	cpu_.clear_log();
	ASSERT_TRUE(read_segment(cache_, loaded_, Segment::kCs).ok());
	EXPECT_EQ(cpu_.log().size(), 3u);
	EXPECT_EQ(cpu_.count(AccessKind::kVmread, encoding_of(access_rights)), 0u);
}

TEST_F(SegmentTest, WriteIsStoredByWriteBackAndReadBackWithoutAnAccess)
{
	for (Segment segment : kSegments) {
		SCOPED_TRACE(static_cast<int>(segment));
		SegmentState state = {
			.base = 0x1122334455667788, .limit = 0x99aabbcc, .access_rights = 0xa09b, .selector = 0x33};
		forget_records();
		ASSERT_TRUE(write_segment(cache_, loaded_, segment, state).ok());
		EXPECT_EQ(cache_.dirty(), parts_of(segment));
		EXPECT_EQ(read_segment(cache_, loaded_, segment).value(), state);
		EXPECT_TRUE(cpu_.log().empty());
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		EXPECT_EQ(cpu_.log().size(), 4u);
		EXPECT_EQ(in_vmcs(segment), state);
	}
}

TEST_F(SegmentTest, WriteOfTheKnownStateStoresNothing)
{
	auto state = read_segment(cache_, loaded_, Segment::kTr);
	ASSERT_TRUE(state.ok());
	ASSERT_TRUE(write_segment(cache_, loaded_, Segment::kTr, state.value()).ok());
	EXPECT_TRUE(cache_.dirty().empty());
	SegmentState changed = state.value();
	changed.limit ^= 1;
	ASSERT_TRUE(write_segment(cache_, loaded_, Segment::kTr, changed).ok());
	EXPECT_EQ(cache_.dirty(), RegSet(segment_register(Segment::kTr, SegmentPart::kLimit)));
}

TEST_F(SegmentTest, FailureOfAnyPartFailsTheRead)
{
	for (u32 nth = 1; nth <= 4; nth++) {
		ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
		cpu_.fail_nth_access(nth, Error::kVmFailValid);
		EXPECT_EQ(read_segment(cache_, loaded_, Segment::kGs).error(), Error::kVmFailValid);
		EXPECT_EQ(cache_.available().size(), nth - 1);
	}
}

// SDM Vol. 3C, 25.4.1, table 25-2.
TEST(AccessRights, BitsAreThoseOfTheSdm)
{
	EXPECT_EQ(access_rights::kTypeMask, 0xfu);
	EXPECT_EQ(access_rights::kCodeOrData, 0x10u);
	EXPECT_EQ(access_rights::kDplMask, 0x60u);
	EXPECT_EQ(3u << access_rights::kDplShift, access_rights::kDplMask);
	EXPECT_EQ(access_rights::kPresent, 0x80u);
	EXPECT_EQ(access_rights::kAvailable, 0x1000u);
	EXPECT_EQ(access_rights::kLong, 0x2000u);
	EXPECT_EQ(access_rights::kDefaultBig, 0x4000u);
	EXPECT_EQ(access_rights::kGranularity, 0x8000u);
	EXPECT_EQ(access_rights::kUnusable, 0x10000u);
}

}  // namespace
}  // namespace vregcache::test
