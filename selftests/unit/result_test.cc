// SPDX-License-Identifier: GPL-2.0
// Result<T> and VREGCACHE_TRY.

#include <gtest/gtest.h>
#include <vregcache/result.h>

#include <type_traits>

#include "recorder.h"

namespace vregcache::test {
namespace {

TEST(Result, HoldsAValue)
{
	Result<u64> result = u64{42};
	EXPECT_TRUE(result.ok());
	EXPECT_EQ(result.error(), Error::kNone);
	EXPECT_EQ(result.value(), 42u);
	EXPECT_EQ(result.value_or(7), 42u);
}

TEST(Result, HoldsAnError)
{
	Result<u64> result = Error::kFault;
	EXPECT_FALSE(result.ok());
	EXPECT_EQ(result.error(), Error::kFault);
	EXPECT_EQ(result.value_or(7), 7u);
}

TEST(Result, OfVoidIsSuccessUntilAnErrorIsGiven)
{
	Result<void> success;
	EXPECT_TRUE(success.ok());
	EXPECT_EQ(success.error(), Error::kNone);
	Result<void> failure = Error::kDirty;
	EXPECT_FALSE(failure.ok());
	EXPECT_EQ(failure.error(), Error::kDirty);
}

TEST(Result, IsMadeFromItsOwnTypeOnly)
{
	static_assert(std::is_constructible_v<Result<u64>, u64>);
	static_assert(!std::is_constructible_v<Result<u64>, u32>);
	static_assert(!std::is_constructible_v<Result<u64>, u16>);
	static_assert(!std::is_constructible_v<Result<u64>, int>);
	static_assert(!std::is_constructible_v<Result<u16>, u64>);
	static_assert(!std::is_constructible_v<Result<u64>, Result<u16>>);
	static_assert(std::is_constructible_v<Result<u64>, Error>);
}

TEST(Result, IsAConstantExpression)
{
	constexpr Result<u32> kResult = u32{5};
	static_assert(kResult.ok() && kResult.value() == 5);
}

// The tests below count evaluations: a macro that evaluates its argument twice would read a field twice.
Result<u32> step(int& evaluations, Result<u32> outcome)
{
	evaluations++;
	return outcome;
}

Result<u64> widened(int& evaluations, bool& went_on, Result<u32> outcome)
{
	u32 value = VREGCACHE_TRY(step(evaluations, outcome));
	went_on = true;
	return u64{value} + 1;
}

Result<void> without_value(bool& went_on, Result<void> outcome)
{
	VREGCACHE_TRY(outcome);
	went_on = true;
	return {};
}

TEST(Try, GivesTheValueAndEvaluatesOnce)
{
	int evaluations = 0;
	bool went_on = false;
	Result<u64> result = widened(evaluations, went_on, u32{41});
	EXPECT_EQ(result.value_or(0), 42u);
	EXPECT_TRUE(went_on);
	EXPECT_EQ(evaluations, 1);
}

TEST(Try, ReturnsTheErrorAtOnceAsAResultOfTheOuterType)
{
	int evaluations = 0;
	bool went_on = false;
	Result<u64> result = widened(evaluations, went_on, Error::kVmFailValid);
	EXPECT_EQ(result.error(), Error::kVmFailValid);
	EXPECT_FALSE(went_on);
	EXPECT_EQ(evaluations, 1);
}

TEST(Try, TakesAResultWithoutValue)
{
	bool went_on = false;
	EXPECT_TRUE(without_value(went_on, {}).ok());
	EXPECT_TRUE(went_on);
	went_on = false;
	EXPECT_EQ(without_value(went_on, Error::kNotBound).error(), Error::kNotBound);
	EXPECT_FALSE(went_on);
}

}  // namespace
}  // namespace vregcache::test
