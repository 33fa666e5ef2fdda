// SPDX-License-Identifier: GPL-2.0
// An interrupt at every instruction of a cache operation: its handler never sees a register marked available whose
// value is not cached yet (invariant 2), nor one that is dirty or on the fast path but not available.
//
// The CPU's trap flag acts as the interrupt: it raises SIGTRAP after each instruction.  This file is compiled with
// optimisation and without sanitizers (see the Makefile), so that stores may be reordered as in the module.

#include <gtest/gtest.h>
#include <vregcache/cache.h>
#include <vregcache/vmx_layout.h>

#include <csignal>
#include <tuple>

#if defined(__x86_64__)

namespace vregcache::test {
namespace {

constexpr VmcsId kVmcs{0x1000};
constexpr u64 kInVmcs = 0x1111222233334444;
constexpr u64 kWritten = 0x5555666677778888;

volatile u64 field = kInVmcs;

// One field is enough, with less code to step through than in the model.
struct OneField {
	struct Key {};
	Result<u64> vmread(u32) const { return u64{field}; }
	Result<void> vmwrite(u32, u64 value) const
	{
		field = value;
		return {};
	}
	bool is_current(VmcsId) const { return true; }
};

using SteppedCache = Cache<OneField, NoHooks>;

struct Interrupts {
	SteppedCache* cache;
	LoadedVmcs<OneField> loaded{OneField(), OneField::Key()};
	u32 count = 0;
	u32 available_count = 0;
	u32 wrong_value_count = 0;
	u32 impossible_count = 0;
};

Interrupts* volatile interrupts;

void on_trap(int)
{
	Interrupts& seen = *interrupts;
	RegSet available = seen.cache->available();
	RegSet dirty = seen.cache->dirty();
	seen.count = seen.count + 1;
	if (!available.contains(dirty) || !available.contains(seen.cache->fast_path()))
		seen.impossible_count++;
	if (!available.contains(Reg::kRip))
		return;
	seen.available_count++;
	u64 value = seen.cache->read<Reg::kRip>(seen.loaded).value_or(0);
	bool is_right = dirty.contains(Reg::kRip) ? value == kWritten : value == kInVmcs || value == kWritten;
	if (!is_right)
		seen.wrong_value_count++;
}

constexpr u64 kTrapFlag = 0x100;

[[gnu::noinline]] void set_trap_flag(bool on)
{
	u64 flags = __builtin_ia32_readeflags_u64();
	__builtin_ia32_writeeflags_u64(on ? flags | kTrapFlag : flags & ~kTrapFlag);
}

class InterruptTest : public testing::Test {
 protected:
	InterruptTest()
	{
		field = kInVmcs;
		interrupts = &interrupts_;
		old_handler_ = std::signal(SIGTRAP, on_trap);
		EXPECT_TRUE(cache_.bind(loaded_, kVmcs).ok());
	}

	~InterruptTest() override { std::signal(SIGTRAP, old_handler_); }

	template <class F>
	void interrupt_everywhere(F operation)
	{
		set_trap_flag(true);
		operation();
		set_trap_flag(false);
	}

	void expect_that_all_was_well()
	{
		EXPECT_GT(interrupts_.count, 5u);
		EXPECT_GT(interrupts_.available_count, 0u);
		EXPECT_EQ(interrupts_.wrong_value_count, 0u);
		EXPECT_EQ(interrupts_.impossible_count, 0u);
	}

	SteppedCache cache_;
	LoadedVmcs<OneField> loaded_{OneField(), OneField::Key()};
	PinnedVmcs<OneField> pinned_{OneField(), OneField::Key()};
	Interrupts interrupts_{&cache_};
	void (*old_handler_)(int) = nullptr;
};

TEST_F(InterruptTest, DuringAMissFindsTheRegisterMissingOrRight)
{
	interrupt_everywhere([&] { std::ignore = cache_.read<Reg::kRip>(loaded_); });
	expect_that_all_was_well();
	EXPECT_LT(interrupts_.available_count, interrupts_.count);
}

TEST_F(InterruptTest, DuringAMissOfARegisterKnownAtRunTimeFindsItMissingOrRight)
{
	volatile u8 number = index(Reg::kRip);
	interrupt_everywhere([&] { std::ignore = cache_.read(loaded_, static_cast<Reg>(number)); });
	expect_that_all_was_well();
	EXPECT_LT(interrupts_.available_count, interrupts_.count);
}

TEST_F(InterruptTest, DuringTheFirstWriteFindsTheRegisterMissingOrRight)
{
	interrupt_everywhere([&] { cache_.write<Reg::kRip>(loaded_, kWritten); });
	expect_that_all_was_well();
}

TEST_F(InterruptTest, DuringAWriteOfAKnownRegisterFindsTheOldOrTheNewValue)
{
	ASSERT_TRUE(cache_.read<Reg::kRip>(loaded_).ok());
	interrupt_everywhere([&] { cache_.write<Reg::kRip>(loaded_, kWritten); });
	expect_that_all_was_well();
	EXPECT_EQ(interrupts_.available_count, interrupts_.count);
}

TEST_F(InterruptTest, DuringWriteBackAndVmExitFindsTheBitsInOrder)
{
	cache_.write<Reg::kRip>(loaded_, kWritten);
	interrupt_everywhere([&] {
		std::ignore = cache_.write_back(pinned_);
		std::ignore = cache_.vm_exit(pinned_);
	});
	expect_that_all_was_well();
	EXPECT_TRUE(cache_.available().empty());
	// The handler's reads put it on the fast path again where possible.
	EXPECT_TRUE(cache_.fast_path().empty());
}

TEST_F(InterruptTest, DuringAReloadFindsTheBitsInOrder)
{
	cache_.write<Reg::kRip>(loaded_, kWritten);
	interrupt_everywhere([&] { cache_.mark_for_reload(loaded_, Reg::kRip); });
	EXPECT_GT(interrupts_.available_count, 0u);
	EXPECT_EQ(interrupts_.impossible_count, 0u);
	EXPECT_TRUE(cache_.available().empty());
	EXPECT_TRUE(cache_.dirty().empty());
	EXPECT_TRUE(cache_.fast_path().empty());
}

TEST_F(InterruptTest, DuringAnUntracedReadFindsTheRegisterMissingOrRight)
{
	interrupt_everywhere([&] { std::ignore = cache_.read_untraced<Reg::kRip>(loaded_); });
	expect_that_all_was_well();
	EXPECT_LT(interrupts_.available_count, interrupts_.count);
}

TEST_F(InterruptTest, DuringAReadOfSeveralFindsTheRegisterMissingOrRight)
{
	u64 rsp = 0, rip = 0;
	interrupt_everywhere([&] { std::ignore = cache_.read_all<Reg::kRsp, Reg::kRip>(loaded_, rsp, rip); });
	expect_that_all_was_well();
	EXPECT_LT(interrupts_.available_count, interrupts_.count);
}

TEST_F(InterruptTest, DuringATestAndMarkFindsTheRegisterMissingOrRight)
{
	u64 value = kInVmcs;
	interrupt_everywhere([&] { std::ignore = cache_.test_and_mark_available<Reg::kRip>(loaded_, value); });
	expect_that_all_was_well();
}

// A stale value must not reappear: the slot in memory still holds the value from before the VM-exit.
TEST_F(InterruptTest, DuringTheMissAfterAVmExitNeverFindsTheOldValue)
{
	field = 0xdead;
	ASSERT_TRUE(cache_.read<Reg::kRip>(loaded_).ok());
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	field = kInVmcs;
	interrupt_everywhere([&] { std::ignore = cache_.read<Reg::kRip>(loaded_); });
	expect_that_all_was_well();
}

}  // namespace
}  // namespace vregcache::test

#endif
