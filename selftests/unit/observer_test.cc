// SPDX-License-Identifier: GPL-2.0
// Every hit, miss, write-back and invalidation is reported to the observer, in order, and nothing else is.

#include <gtest/gtest.h>

#include <functional>
#include <utility>
#include <vector>

#include "hooks.h"
#include "cache_fixture.h"
#include "typed_registers.h"

namespace vregcache::test {
namespace {

using Events = std::vector<Event>;

class ObserverTest : public CacheFixture {
 protected:
	const Events& events() { return cache_.hooks().observer.events(); }
};

TEST_F(ObserverTest, MissThenHitForEveryRegister)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		cache_.hooks().observer.clear();
		ASSERT_TRUE(typed.read(cache_, loaded_).ok());
		ASSERT_TRUE(typed.read(cache_, loaded_).ok());
		ASSERT_TRUE(cache_.read(loaded_, typed.reg).ok());
		EXPECT_EQ(events(), (Events{miss_event(typed.reg, field(typed.reg)), hit_event(typed.reg),
					    hit_event(typed.reg)}));
	}
}

TEST_F(ObserverTest, MissOfARegisterKnownAtRunTime)
{
	for (const SdmRegister& entry : kSdmRegisters) {
		cache_.hooks().observer.clear();
		ASSERT_TRUE(cache_.read(loaded_, entry.reg).ok());
		EXPECT_EQ(events(), Events{miss_event(entry.reg, field(entry.reg))});
	}
}

TEST_F(ObserverTest, FailedReadIsNeitherHitNorMiss)
{
	cpu_.fail_nth_access(1, Error::kFault);
	ASSERT_FALSE(cache_.read<Reg::kRip>(loaded_).ok());
	cpu_.unload();
	ASSERT_FALSE(cache_.read<Reg::kRip>(loaded_).ok());
	EXPECT_TRUE(events().empty());
}

TEST_F(ObserverTest, NumberWithoutARegisterIsHeardAndIsNothingElse)
{
	for (u32 number = 0; number < 256; number++) {
		auto reg = static_cast<Reg>(number);
		if (is_register(reg))
			continue;
		cache_.hooks().observer.clear();
		ASSERT_EQ(cache_.read(loaded_, reg).error(), Error::kNoRegister);
		ASSERT_EQ(cache_.write(loaded_, reg, 1).error(), Error::kNoRegister);
		EXPECT_EQ(events(), Events(2, no_register_event(number)));
	}
	// A register with a read-only field counts as none for a write.
	cache_.hooks().observer.clear();
	ASSERT_EQ(cache_.write(loaded_, Reg::kExitReason, 1).error(), Error::kNoRegister);
	EXPECT_EQ(events(), Events{no_register_event(index(Reg::kExitReason))});
}

TEST_F(ObserverTest, WriteIsSilentUntilItIsStored)
{
	cache_.write<Reg::kRip>(loaded_, u64{0x1000});
	EXPECT_TRUE(events().empty());
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(events(), Events{write_back_event(Reg::kRip, 0x1000)});
}

TEST_F(ObserverTest, HitsOnDirtyRegistersAreHits)
{
	cache_.write<Reg::kRip>(loaded_, u64{0x1000});
	ASSERT_TRUE(cache_.read<Reg::kRip>(loaded_).ok());
	EXPECT_EQ(events(), Events{hit_event(Reg::kRip)});
}

TEST_F(ObserverTest, WriteBackIsHeardOncePerRegisterThatWasStored)
{
	write_all_writable_registers();
	cpu_.fail_nth_access(5, Error::kFault);
	ASSERT_FALSE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(events().size(), 4u);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(events().size(), writable_registers().size());
	RegSet heard;
	for (const Event& event : events()) {
		EXPECT_EQ(event.kind, EventKind::kWriteBack);
		EXPECT_EQ(event.registers.size(), 1u);
		EXPECT_EQ(event.value, field(event.registers.first()));
		heard |= event.registers;
	}
	EXPECT_EQ(heard, writable_registers());
}

TEST_F(ObserverTest, RegisterIsCleanWhenItsWriteBackIsHeard)
{
	// The first is reported only after its VMWRITE, and before the second VMWRITE.
	cache_.write<Reg::kRip>(loaded_, u64{1});
	cache_.write<Reg::kRsp>(loaded_, u64{2});
	std::vector<std::size_t> heard_at_access;
	cpu_.set_hook([&](const FieldAccess&) { heard_at_access.push_back(events().size()); });
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(heard_at_access, (std::vector<std::size_t>{0, 1}));
}

TEST_F(ObserverTest, InvalidationsTellTheirSet)
{
	RegSet exit_information = registers_changed_by(ChangedBy::kVmExit);
	RegSet lazy = exit_information | registers_changed_by(ChangedBy::kGuest);
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	EXPECT_EQ(events(), Events{invalidate_event(lazy)});
	cache_.hooks().observer.clear();
	cache_.vm_fail(pinned_);
	EXPECT_EQ(events(), Events{invalidate_event(exit_information)});
	cache_.hooks().observer.clear();
	cache_.vm_entry_failure_exit(pinned_);
	EXPECT_EQ(events(), Events{invalidate_event(exit_information)});
	cache_.hooks().observer.clear();
	ASSERT_TRUE(cache_.bind(loaded_, kVmcsB).ok());
	EXPECT_EQ(events(), Events{invalidate_event(RegSet::all())});
}

TEST_F(ObserverTest, RegisterThatIsGivenUpIsInvalidated)
{
	cache_.write<Reg::kRip>(loaded_, u64{1});
	RegSet set = {Reg::kRip, Reg::kCr3};
	cache_.mark_for_reload(loaded_, set);
	EXPECT_EQ(events(), Events{invalidate_event(set)});
}

// An observer that does not count hits still gets all other events.
TEST_F(ObserverTest, ObserverThatDoesNotWatchHitsHearsOfNone)
{
	cache_.hooks().observer.watch_reads(false);
	for (const TypedRegister& typed : all_typed_registers()) {
		cache_.hooks().observer.clear();
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(typed.read(cache_, loaded_).ok());
			ASSERT_TRUE(cache_.read(loaded_, typed.reg).ok());
		}
		EXPECT_EQ(events(), Events{miss_event(typed.reg, field(typed.reg))});
	}
}

TEST_F(ObserverTest, WatchingCountsEachHitFromTheNextVmExitOn)
{
	cache_.hooks().observer.watch_reads(false);
	read_all_registers();
	cache_.hooks().observer.watch_reads(true);
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	cache_.hooks().observer.clear();
	// Of registers that the VM-exit left available, and that took the fast path.
	ASSERT_TRUE(cache_.read<Reg::kEfer>(loaded_).ok());
	ASSERT_TRUE(cache_.read<Reg::kEfer>(loaded_).ok());
	EXPECT_EQ(events(), (Events{hit_event(Reg::kEfer), hit_event(Reg::kEfer)}));
}

TEST_F(ObserverTest, WatchingCountsEachHitFromTheCallOn)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		cache_.hooks().observer.watch_reads(false);
		ASSERT_TRUE(typed.read(cache_, loaded_).ok());
		cache_.hooks().observer.watch_reads(true);
		cache_.watching_changed(loaded_);
		cache_.hooks().observer.clear();
		ASSERT_TRUE(typed.read(cache_, loaded_).ok());
		ASSERT_TRUE(cache_.read(loaded_, typed.reg).ok());
		EXPECT_EQ(events(), Events(2, hit_event(typed.reg)));
	}
}

TEST_F(ObserverTest, UntracedOperationsAreNotHeard)
{
	ASSERT_TRUE(cache_.read_untraced<Reg::kRip>(loaded_).ok());
	ASSERT_TRUE(cache_.read_untraced<Reg::kRip>(loaded_).ok());
	EXPECT_FALSE(cache_.test_and_mark_available<Reg::kCr3>(loaded_, u64{1}));
	EXPECT_TRUE(cache_.test_and_mark_available<Reg::kCr3>(loaded_, u64{2}));
	EXPECT_TRUE(events().empty());
	ASSERT_TRUE(cache_.read<Reg::kRip>(loaded_).ok());
	EXPECT_EQ(events(), Events{hit_event(Reg::kRip)});
}

TEST_F(ObserverTest, RegisterThatStaysIsNotInvalidated)
{
	cache_.write<Reg::kRip>(loaded_, u64{1});
	ASSERT_FALSE(cache_.vm_exit(pinned_).ok());
	ASSERT_EQ(events().size(), 1u);
	EXPECT_FALSE(events()[0].registers.contains(Reg::kRip));
	cache_.hooks().observer.clear();
	ASSERT_FALSE(cache_.bind(loaded_, kVmcsB).ok());
	ASSERT_TRUE(cache_.bind(loaded_, kVmcsA).ok());
	EXPECT_TRUE(events().empty());
}

// An observer that inspects the cache when it is called.
class LookingObserver {
 public:
	using Look = std::function<void(EventKind, RegSet)>;

	void set_look(Look look) { look_ = std::move(look); }

	bool watches_reads() const { return true; }
	void hit(Reg reg) { look(EventKind::kHit, reg); }
	void miss(Reg reg, u64) { look(EventKind::kMiss, reg); }
	void write_back(Reg reg, u64) { look(EventKind::kWriteBack, reg); }
	void invalidate(RegSet set) { look(EventKind::kInvalidate, set); }
	void no_register(u32) { look(EventKind::kNoRegister, {}); }

 private:
	void look(EventKind kind, RegSet set)
	{
		if (look_)
			look_(kind, set);
	}

	Look look_;
};

TEST_F(ObserverTest, BitsAreChangedBeforeTheObserverHears)
{
	Cache<ModelAccess, HooksOf<NoContext, LookingObserver>> cache;
	ASSERT_TRUE(cache.bind(loaded_, kVmcsA).ok());
	std::vector<EventKind> heard;
	cache.hooks().observer.set_look([&](EventKind kind, RegSet set) {
		heard.push_back(kind);
		bool gone = kind == EventKind::kInvalidate;
		EXPECT_EQ(cache.available() & set, gone ? RegSet() : set);
		EXPECT_TRUE((cache.dirty() & set).empty());
	});
	auto read_and_give_up = [&](const std::function<void()>& give_up) {
		ASSERT_TRUE(cache.read<Reg::kExitReason>(loaded_).ok());
		give_up();
	};
	ASSERT_TRUE(cache.read<Reg::kRip>(loaded_).ok());
	ASSERT_TRUE(cache.read<Reg::kRip>(loaded_).ok());
	cache.write<Reg::kRsp>(loaded_, u64{1});
	ASSERT_TRUE(cache.write_back(pinned_).ok());
	ASSERT_TRUE(cache.vm_exit(pinned_).ok());
	EXPECT_EQ(heard, (std::vector<EventKind>{EventKind::kMiss, EventKind::kHit, EventKind::kWriteBack,
						 EventKind::kInvalidate}));
	read_and_give_up([&] { cache.mark_for_reload(loaded_, RegSet::all()); });
	read_and_give_up([&] { cache.vm_fail(pinned_); });
	read_and_give_up([&] { ASSERT_TRUE(cache.bind(loaded_, kVmcsB).ok()); });
	EXPECT_EQ(heard.size(), 4u + 3 * 2);
}

// An observer that takes several misses in one call.
class HearingOfSeveral : public NoObserver {
 public:
	void miss(Reg reg, u64 value) { events.push_back(miss_event(reg, value)); }
	void misses(RegSet set, const u64* value)
	{
		at_once.push_back(set);
		for (; !set.empty(); set = set.without_first())
			miss(set.first(), value[index(set.first())]);
	}

	std::vector<Event> events;
	std::vector<RegSet> at_once;
};

TEST_F(ObserverTest, SeveralMissesAreToldAtOnceAndNoneThatDidNotHappen)
{
	constexpr RegSet kAll(Reg::kRip, Reg::kRsp, Reg::kRflags, Reg::kExitInstructionLength);
	Cache<ModelAccess, HooksOf<NoContext, HearingOfSeveral>> cache;
	ASSERT_TRUE(cache.bind(loaded_, kVmcsA).ok());
	u64 rip = 0, rsp = 0, rflags = 0;
	u32 length = 0;
	auto read = [&] {
		return cache.read_all<Reg::kRip, Reg::kExitInstructionLength, Reg::kRflags, Reg::kRsp>(loaded_, rip,
												       length, rflags,
												       rsp);
	};
	for (u32 nth = 1; nth <= 5; nth++) {
		cache.hooks().observer = {};
		ASSERT_TRUE(cache.vm_exit(pinned_).ok());
		cpu_.clear_log();
		if (nth <= 4)
			cpu_.fail_nth_access(nth, Error::kVmFailValid);
		EXPECT_EQ(read().ok(), nth == 5);
		EXPECT_EQ(cache.hooks().observer.events.size(), nth - 1);
		EXPECT_EQ(cache.hooks().observer.at_once, nth == 5 ? std::vector<RegSet>{kAll} : std::vector<RegSet>{});
	}
	EXPECT_EQ(rip, field(Reg::kRip));
	EXPECT_EQ(rflags, field(Reg::kRflags));
	EXPECT_EQ(cache.hooks().observer.events[1], miss_event(Reg::kRsp, rsp));
}

}  // namespace
}  // namespace vregcache::test
