// SPDX-License-Identifier: GPL-2.0
// A shadow writes only values that the field does not hold yet.

#include <gtest/gtest.h>
#include <vregcache/last_written.h>

#include "model_vmcs.h"

namespace vregcache::test {
namespace {

constexpr VmcsId kVmcs{0xa000};
constexpr u32 kTscOffsetEncoding = decltype(kTscOffset)::kEncoding;
using Loaded = LoadedVmcs<ModelAccess>;

class ShadowTest : public testing::Test {
 protected:
	ShadowTest() { cpu_.load(kVmcs); }

	std::size_t vmwrites() const { return cpu_.count(AccessKind::kVmwrite, kTscOffsetEncoding); }
	u64 field() { return memory_.peek(kVmcs, kTscOffsetEncoding); }

	ModelMemory memory_;
	ModelCpu cpu_{memory_};
	Loaded loaded_{ModelAccess(cpu_), ModelAccess::Key()};
	LastWritten<kTscOffset> shadow_;
};

TEST_F(ShadowTest, NothingIsKnownAtFirstNotEvenThatItIsZero)
{
	EXPECT_FALSE(shadow_.known());
	ASSERT_TRUE(shadow_.set(loaded_, u64{0}).ok());
	EXPECT_EQ(vmwrites(), 1u);
	EXPECT_EQ(field(), 0u);
	EXPECT_TRUE(shadow_.known());
}

TEST_F(ShadowTest, TheSameValueIsWrittenOnce)
{
	for (int i = 0; i < 5; i++)
		ASSERT_TRUE(shadow_.set(loaded_, u64{0x1234}).ok());
	EXPECT_EQ(vmwrites(), 1u);
	EXPECT_EQ(shadow_.value(), 0x1234u);
	EXPECT_EQ(field(), 0x1234u);
}

TEST_F(ShadowTest, AnotherValueIsWritten)
{
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	ASSERT_TRUE(shadow_.set(loaded_, u64{2}).ok());
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 3u);
	EXPECT_EQ(field(), 1u);
}

TEST_F(ShadowTest, NothingIsEverRead)
{
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	shadow_.forget();
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(cpu_.count(AccessKind::kVmread, kTscOffsetEncoding), 0u);
}

TEST_F(ShadowTest, AFailedWriteLeavesTheFieldUnknown)
{
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	cpu_.fail_nth_access(1, Error::kFault);
	EXPECT_EQ(shadow_.set(loaded_, u64{2}).error(), Error::kFault);
	EXPECT_FALSE(shadow_.known());
	EXPECT_EQ(shadow_.value(), 1u);
	// The previous value is written again, too: it may have been lost.
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 3u);
	EXPECT_TRUE(shadow_.known());
}

TEST_F(ShadowTest, AWriteWithoutACurrentVmcsIsAnError)
{
	cpu_.unload();
	EXPECT_EQ(shadow_.set(loaded_, u64{1}).error(), Error::kVmFailInvalid);
	EXPECT_FALSE(shadow_.known());
}

TEST_F(ShadowTest, WhatIsForgottenIsWrittenAgain)
{
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	memory_.poke(kVmcs, kTscOffsetEncoding, 7);
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(field(), 7u);
	shadow_.forget();
	EXPECT_FALSE(shadow_.known());
	ASSERT_TRUE(shadow_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(field(), 1u);
}

// The same by one comparison, with a value that the field cannot have.
TEST_F(ShadowTest, AnImpossibleValueStandsForTheUnknown)
{
	constexpr u64 kNever = ~u64{0};
	LastWritten<kTscOffset, kNever> shadow;
	ASSERT_TRUE(shadow.set(loaded_, u64{0}).ok());
	EXPECT_EQ(vmwrites(), 1u);
	for (int i = 0; i < 5; i++)
		ASSERT_TRUE(shadow.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 2u);
	EXPECT_EQ(field(), 1u);
	cpu_.fail_nth_access(1, Error::kFault);
	EXPECT_EQ(shadow.set(loaded_, u64{2}).error(), Error::kFault);
	EXPECT_FALSE(shadow.known());
	EXPECT_EQ(shadow.value(), 1u);
	ASSERT_TRUE(shadow.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 4u);
	shadow.forget();
	ASSERT_TRUE(shadow.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 5u);
	EXPECT_TRUE(shadow.known());
}

TEST_F(ShadowTest, TheWidthIsTheFields)
{
	LastWritten<kHostFsSelector> narrow;
	ASSERT_TRUE(narrow.set(loaded_, u16{0xfff8}).ok());
	EXPECT_EQ(memory_.peek(kVmcs, kHostFsSelector.kEncoding), 0xfff8u);
	static_assert(std::same_as<decltype(narrow)::Value, u16>);
	static_assert(std::same_as<LastWritten<kVmEntryControls>::Value, u32>);
}

}  // namespace
}  // namespace vregcache::test
