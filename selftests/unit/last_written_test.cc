// SPDX-License-Identifier: GPL-2.0
// A last-written field writes only values that the field does not hold yet.

#include <gtest/gtest.h>
#include <vregcache/last_written.h>

#include "model_vmcs.h"

namespace vregcache::test {
namespace {

constexpr VmcsId kVmcs{0xa000};
constexpr u32 kTscOffsetEncoding = decltype(kTscOffset)::kEncoding;
using Loaded = LoadedVmcs<ModelAccess>;

class LastWrittenFieldsTest : public testing::Test {
 protected:
	LastWrittenFieldsTest() { cpu_.load(kVmcs); }

	std::size_t vmwrites() const { return cpu_.count(AccessKind::kVmwrite, kTscOffsetEncoding); }
	u64 in_vmcs() { return memory_.peek(kVmcs, kTscOffsetEncoding); }

	ModelMemory memory_;
	ModelCpu cpu_{memory_};
	Loaded loaded_{ModelAccess(cpu_), ModelAccess::Key()};
	LastWritten<kTscOffset> written_;
};

TEST_F(LastWrittenFieldsTest, NothingIsKnownAtFirstNotEvenThatItIsZero)
{
	EXPECT_FALSE(written_.known());
	ASSERT_TRUE(written_.set(loaded_, u64{0}).ok());
	EXPECT_EQ(vmwrites(), 1u);
	EXPECT_EQ(in_vmcs(), 0u);
	EXPECT_TRUE(written_.known());
}

TEST_F(LastWrittenFieldsTest, TheSameValueIsWrittenOnce)
{
	for (int i = 0; i < 5; i++)
		ASSERT_TRUE(written_.set(loaded_, u64{0x1234}).ok());
	EXPECT_EQ(vmwrites(), 1u);
	EXPECT_EQ(written_.value(), 0x1234u);
	EXPECT_EQ(in_vmcs(), 0x1234u);
}

TEST_F(LastWrittenFieldsTest, AnotherValueIsWritten)
{
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	ASSERT_TRUE(written_.set(loaded_, u64{2}).ok());
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 3u);
	EXPECT_EQ(in_vmcs(), 1u);
}

TEST_F(LastWrittenFieldsTest, NothingIsEverRead)
{
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	written_.forget();
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(cpu_.count(AccessKind::kVmread, kTscOffsetEncoding), 0u);
}

TEST_F(LastWrittenFieldsTest, AFailedWriteLeavesTheFieldUnknown)
{
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	cpu_.fail_nth_access(1, Error::kFault);
	EXPECT_EQ(written_.set(loaded_, u64{2}).error(), Error::kFault);
	EXPECT_FALSE(written_.known());
	EXPECT_EQ(written_.value(), 1u);
	// The previous value is written again, too: it may have been lost.
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 3u);
	EXPECT_TRUE(written_.known());
}

TEST_F(LastWrittenFieldsTest, AWriteWithoutACurrentVmcsIsAnError)
{
	cpu_.unload();
	EXPECT_EQ(written_.set(loaded_, u64{1}).error(), Error::kVmFailInvalid);
	EXPECT_FALSE(written_.known());
}

TEST_F(LastWrittenFieldsTest, WhatIsForgottenIsWrittenAgain)
{
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	memory_.poke(kVmcs, kTscOffsetEncoding, 7);
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(in_vmcs(), 7u);
	written_.forget();
	EXPECT_FALSE(written_.known());
	ASSERT_TRUE(written_.set(loaded_, u64{1}).ok());
	EXPECT_EQ(in_vmcs(), 1u);
}

// The same by one comparison, with a value that the field cannot have.
TEST_F(LastWrittenFieldsTest, AnImpossibleValueStandsForTheUnknown)
{
	constexpr u64 kNever = ~u64{0};
	LastWritten<kTscOffset, kNever> written;
	ASSERT_TRUE(written.set(loaded_, u64{0}).ok());
	EXPECT_EQ(vmwrites(), 1u);
	for (int i = 0; i < 5; i++)
		ASSERT_TRUE(written.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 2u);
	EXPECT_EQ(in_vmcs(), 1u);
	cpu_.fail_nth_access(1, Error::kFault);
	EXPECT_EQ(written.set(loaded_, u64{2}).error(), Error::kFault);
	EXPECT_FALSE(written.known());
	EXPECT_EQ(written.value(), 1u);
	ASSERT_TRUE(written.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 4u);
	written.forget();
	ASSERT_TRUE(written.set(loaded_, u64{1}).ok());
	EXPECT_EQ(vmwrites(), 5u);
	EXPECT_TRUE(written.known());
}

TEST_F(LastWrittenFieldsTest, TheWidthIsTheFields)
{
	LastWritten<kHostFsSelector> narrow;
	ASSERT_TRUE(narrow.set(loaded_, u16{0xfff8}).ok());
	EXPECT_EQ(memory_.peek(kVmcs, kHostFsSelector.kEncoding), 0xfff8u);
	static_assert(std::same_as<decltype(narrow)::Value, u16>);
	static_assert(std::same_as<LastWritten<kVmEntryControls>::Value, u32>);
}

}  // namespace
}  // namespace vregcache::test
