// SPDX-License-Identifier: GPL-2.0
// Every operation of the cache checks the context exactly once, whatever its outcome.

#include <gtest/gtest.h>
#include <vregcache/guest_control_register.h>
#include <vregcache/segment.h>

#include <tuple>
#include <type_traits>
#include <vector>

#include "cache_fixture.h"
#include "typed_registers.h"

namespace vregcache::test {
namespace {

using Operations = std::vector<Operation>;

class Invariant6 : public CacheFixture {
 protected:
	template <class F>
	Operations checks_of(F operation)
	{
		cache_.hooks().context.clear();
		operation();
		return cache_.hooks().context.checks();
	}
};

TEST_F(Invariant6, BindChecksOnce)
{
	auto bind = [&](VmcsId vmcs) { return checks_of([&] { std::ignore = cache_.bind(loaded_, vmcs); }); };
	EXPECT_EQ(bind(kVmcsA), Operations{Operation::kBind});
	EXPECT_EQ(bind(kVmcsB), Operations{Operation::kBind});
	cache_.write<Reg::kRip>(loaded_, u64{1});
	EXPECT_EQ(bind(kVmcsA), Operations{Operation::kBind});
}

TEST_F(Invariant6, ReadChecksOnceOnMissOnHitAndOnFailure)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		auto read = [&] { return checks_of([&] { std::ignore = typed.read(cache_, loaded_); }); };
		cpu_.fail_nth_access(1, Error::kFault);
		EXPECT_EQ(read(), Operations{Operation::kRead});
		EXPECT_EQ(read(), Operations{Operation::kRead});
		EXPECT_EQ(read(), Operations{Operation::kRead});
	}
}

TEST_F(Invariant6, ReadOfARegisterKnownAtRunTimeChecksOnceOnMissOnHitAndOnFailure)
{
	for (int i = 0; i < 256; i++) {
		SCOPED_TRACE(i);
		auto read = [&] { return checks_of([&] { std::ignore = cache_.read(loaded_, static_cast<Reg>(i)); }); };
		cpu_.fail_nth_access(1, Error::kFault);
		EXPECT_EQ(read(), Operations{Operation::kRead});
		cpu_.stop_failing();
		EXPECT_EQ(read(), Operations{Operation::kRead});
		EXPECT_EQ(read(), Operations{Operation::kRead});
	}
}

TEST_F(Invariant6, WriteChecksOnceWhetherItChangesSomethingOrNot)
{
	for (const TypedRegister& typed : writable_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		auto write = [&] { return checks_of([&] { typed.write(cache_, loaded_, 1); }); };
		EXPECT_EQ(write(), Operations{Operation::kWrite});
		EXPECT_EQ(write(), Operations{Operation::kWrite});
	}
}

TEST_F(Invariant6, WriteOfARegisterKnownAtRunTimeChecksOnceEvenWhenItIsRefused)
{
	for (int i = 0; i < 256; i++) {
		SCOPED_TRACE(i);
		auto write = [&] {
			return checks_of([&] { std::ignore = cache_.write(loaded_, static_cast<Reg>(i), 1); });
		};
		EXPECT_EQ(write(), Operations{Operation::kWrite});
		EXPECT_EQ(write(), Operations{Operation::kWrite});
	}
}

// Bulk operations, too: they access more registers than any other.
TEST_F(Invariant6, WriteBackChecksOnceHoweverManyRegistersAreDirty)
{
	auto write_back = [&] { return checks_of([&] { std::ignore = cache_.write_back(pinned_); }); };
	EXPECT_EQ(write_back(), Operations{Operation::kWriteBack});
	write_all_writable_registers();
	cpu_.fail_nth_access(3, Error::kFault);
	EXPECT_EQ(write_back(), Operations{Operation::kWriteBack});
	EXPECT_EQ(write_back(), Operations{Operation::kWriteBack});
	write_all_writable_registers();
	cpu_.unload();
	EXPECT_EQ(write_back(), Operations{Operation::kWriteBack});
}

TEST_F(Invariant6, VmExitChecksOnce)
{
	auto vm_exit = [&] { return checks_of([&] { std::ignore = cache_.vm_exit(pinned_); }); };
	EXPECT_EQ(vm_exit(), Operations{Operation::kVmExit});
	read_all_registers();
	EXPECT_EQ(vm_exit(), Operations{Operation::kVmExit});
	write_all_writable_registers();
	EXPECT_EQ(vm_exit(), Operations{Operation::kVmExit});
}

TEST_F(Invariant6, ReloadChecksOnce)
{
	EXPECT_EQ(checks_of([&] { cache_.mark_for_reload(loaded_, RegSet::all()); }), Operations{Operation::kReload});
}

TEST_F(Invariant6, ChangeOfWatchingChecksOnce)
{
	EXPECT_EQ(checks_of([&] { cache_.watching_changed(loaded_); }), Operations{Operation::kWatchingChanged});
}

// The checks themselves could be traced.
TEST_F(Invariant6, UntracedOperationsCheckNothing)
{
	auto untraced = [&] {
		std::ignore = cache_.read_untraced<Reg::kRip>(loaded_);
		std::ignore = cache_.test_and_mark_available<Reg::kRsp>(loaded_, u64{1});
	};
	EXPECT_TRUE(checks_of(untraced).empty());
}

TEST_F(Invariant6, FastPathAccessIsCheckedOnlyWhileReadsAreWatched)
{
	auto access = [&] {
		return checks_of([&] {
			std::ignore = cache_.read<Reg::kRip>(loaded_);
			std::ignore = cache_.read(loaded_, Reg::kRip);
			u64 rip;
			std::ignore = cache_.read_all<Reg::kRip>(loaded_, rip);
			cache_.write<Reg::kRip>(loaded_, rip + 1);
		});
	};
	const Operations all{Operation::kRead, Operation::kRead, Operation::kRead, Operation::kWrite};
	EXPECT_EQ(access(), all);
	EXPECT_EQ(access(), all);
	cache_.hooks().observer.watch_reads(false);
	cache_.watching_changed(loaded_);
	EXPECT_TRUE(access().empty());
	// A miss is still checked.
	cache_.mark_for_reload(loaded_, Reg::kRip);
	EXPECT_EQ(checks_of([&] { std::ignore = cache_.read<Reg::kRip>(loaded_); }), Operations{Operation::kRead});
}

TEST_F(Invariant6, ReadOfSeveralChecksOnceWithTheFirst)
{
	u64 rip, rsp;
	auto read = [&] {
		return checks_of([&] { std::ignore = cache_.read_all<Reg::kRip, Reg::kRsp>(loaded_, rip, rsp); });
	};
	cpu_.unload();
	EXPECT_EQ(read(), Operations{Operation::kRead});
	cpu_.load(kVmcsA);
	EXPECT_EQ(read(), Operations{Operation::kRead});
	EXPECT_EQ(read(), Operations{Operation::kRead});
	EXPECT_EQ(cache_.hooks().context.registers(), std::vector<Reg>{Reg::kRip});
}

TEST_F(Invariant6, CheckIsToldTheRegister)
{
	for (const TypedRegister& typed : writable_typed_registers()) {
		cache_.hooks().context.clear();
		std::ignore = typed.read(cache_, loaded_);
		std::ignore = cache_.read(loaded_, typed.reg);
		typed.write(cache_, loaded_, 1);
		std::ignore = cache_.write(loaded_, typed.reg, 2);
		EXPECT_EQ(cache_.hooks().context.registers(), std::vector<Reg>(4, typed.reg));
	}
	cache_.hooks().context.clear();
	std::ignore = cache_.read(loaded_, Reg::kEnd);
	std::ignore = cache_.write(loaded_, Reg::kExitReason, 1);
	std::ignore = cache_.write_back(pinned_);
	EXPECT_EQ(cache_.hooks().context.registers(), std::vector<Reg>(3, kNoReg));
}

TEST_F(Invariant6, VmEntryFailuresCheckOnce)
{
	read_all_registers();
	EXPECT_EQ(checks_of([&] { cache_.vm_fail(pinned_); }), Operations{Operation::kVmEntryFailed});
	read_all_registers();
	EXPECT_EQ(checks_of([&] { cache_.vm_entry_failure_exit(pinned_); }), Operations{Operation::kVmEntryFailed});
}

// A compound operation checks with each of its parts.
TEST_F(Invariant6, CompoundOperationsCheckWithEachPart)
{
	SegmentState state = {.base = 1, .limit = 2, .access_rights = 3, .selector = 4};
	EXPECT_EQ(checks_of([&] { std::ignore = write_segment(cache_, loaded_, Segment::kCs, state); }),
		  Operations(4, Operation::kWrite));
	EXPECT_EQ(checks_of([&] { std::ignore = read_segment(cache_, loaded_, Segment::kCs); }),
		  Operations(4, Operation::kRead));
	EXPECT_EQ(checks_of([&] { GuestCr0<0>::write(cache_, loaded_, {}, 1); }), Operations(2, Operation::kWrite));
	EXPECT_EQ(checks_of([&] { std::ignore = GuestCr0<2>::read(cache_, loaded_, {.guest_owned = 2}); }),
		  Operations(2, Operation::kRead));
}

// The check comes first: it must detect the wrong context before a field or a bit is accessed.
TEST_F(Invariant6, CheckComesBeforeTheFirstAccess)
{
	u32 looked = 0;
	cpu_.set_hook([&](const FieldAccess&) {
		EXPECT_EQ(cache_.hooks().context.checks().size(), 1u);
		looked++;
	});
	std::ignore = checks_of([&] { std::ignore = cache_.read<Reg::kRip>(loaded_); });
	std::ignore = checks_of([&] { std::ignore = cache_.read(loaded_, Reg::kRsp); });
	cache_.write<Reg::kRip>(loaded_, u64{1});
	std::ignore = checks_of([&] { std::ignore = cache_.write_back(pinned_); });
	EXPECT_EQ(looked, 3u);
}

TEST_F(Invariant6, LookingAtTheStateIsNoOperation)
{
	EXPECT_TRUE(checks_of([&] {
			    std::ignore = cache_.available();
			    std::ignore = cache_.dirty();
			    std::ignore = cache_.vmcs();
		    }).empty());
}

// 8. A disabled feature costs nothing.
TEST(Invariant8, LeanPoliciesTakeNoSpace)
{
	using LeanCache = Cache<ModelAccess, NoHooks>;
	struct OnlyTheState {
		u64 fast_path;
		u64 available;
		u64 dirty;
		u64 value[64];
		u64 vmcs;
	};
	static_assert(sizeof(LeanCache) == sizeof(OnlyTheState));
	static_assert(std::is_trivially_copyable_v<LeanCache>);
	static_assert(std::is_trivially_destructible_v<LeanCache>);
}

}  // namespace
}  // namespace vregcache::test
