// SPDX-License-Identifier: GPL-2.0
// The invariants of the register cache, one group of tests for each.  context_test.cc tests that of the context.
//
// Each test runs twice: with an observer that counts hits, so that no register takes the fast path, and with one that does not.

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "cache_fixture.h"
#include "typed_registers.h"

namespace vregcache::test {
namespace {

constexpr Error kAccessErrors[] = {Error::kVmFailInvalid, Error::kVmFailValid, Error::kFault};

class EitherWay : public CacheFixture, public testing::WithParamInterface<bool> {
 protected:
	EitherWay() { cache_.hooks().observer.watch_reads(GetParam()); }

	// Checked at the end of each test.
	~EitherWay() override
	{
		EXPECT_TRUE(cache_.available().contains(cache_.fast_path()));
		EXPECT_TRUE(cache_.available().contains(cache_.dirty()));
		if (GetParam()) {
			EXPECT_TRUE(cache_.fast_path().empty());
		}
	}
};

#define EITHER_WAY(fixture)                                      \
	INSTANTIATE_TEST_SUITE_P(Hits, fixture, testing::Bool(), \
				 [](const auto& info) { return info.param ? "Watched" : "FastPath"; })

// 1. A read of an available register touches no VMCS field.
class Invariant1 : public EitherWay {};
EITHER_WAY(Invariant1);

TEST_P(Invariant1, ReadOfAvailableRegisterTouchesNoField)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		ASSERT_TRUE(typed.read(cache_, loaded_).ok());
		cpu_.clear_log();
		u64 value = field(typed.reg);
		// A second read of the field would return this.
		memory_.poke(kVmcsA, encoding_of(typed.reg), other_value(typed.reg));
		EXPECT_EQ(typed.read(cache_, loaded_).value(), value);
		EXPECT_EQ(cache_.read(loaded_, typed.reg).value(), value);
		EXPECT_TRUE(cpu_.log().empty());
	}
}

TEST_P(Invariant1, ReadOfWrittenRegisterTouchesNoField)
{
	for (const TypedRegister& typed : writable_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		u64 value = other_value(typed.reg);
		typed.write(cache_, loaded_, value);
		EXPECT_EQ(typed.read(cache_, loaded_).value(), value);
		EXPECT_EQ(cache_.read(loaded_, typed.reg).value(), value);
	}
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant1, WriteTouchesNoField)
{
	write_all_writable_registers();
	EXPECT_TRUE(cpu_.log().empty());
	EXPECT_EQ(cache_.dirty(), writable_registers());
}

TEST_P(Invariant1, WriteOfTheKnownValueLeavesTheRegisterClean)
{
	read_all_registers();
	for (const TypedRegister& typed : writable_typed_registers()) {
		u64 value = field(typed.reg);
		typed.write(cache_, loaded_, value);
		ASSERT_TRUE(cache_.write(loaded_, typed.reg, value).ok());
	}
	EXPECT_TRUE(cache_.dirty().empty());
}

// The VMCS may hold anything: a write is redundant only if the value is known.
TEST_P(Invariant1, WriteOfAnUnknownRegisterIsDirtyWhateverTheValue)
{
	for (const TypedRegister& typed : writable_typed_registers()) {
		typed.write(cache_, loaded_, field(typed.reg));
		EXPECT_TRUE(cache_.dirty().contains(typed.reg)) << testing::PrintToString(typed.reg);
	}
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant1, ZeroIsAValueLikeAnyOther)
{
	cache_.write<Reg::kRip>(loaded_, u64{0});
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRip));
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(field(Reg::kRip), 0u);
}

// 2. A miss reads exactly the register's field, once, and marks it available after the value is cached.
class Invariant2 : public EitherWay {};
EITHER_WAY(Invariant2);

TEST_P(Invariant2, MissReadsTheRegistersFieldOnce)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		cpu_.clear_log();
		auto value = typed.read(cache_, loaded_);
		ASSERT_TRUE(value.ok());
		EXPECT_EQ(value.value(), field(typed.reg));
		EXPECT_EQ(cpu_.log(), one_vmread(typed.reg));
	}
}

TEST_P(Invariant2, MissOfARegisterKnownAtRunTimeReadsTheRegistersFieldOnce)
{
	for (const SdmRegister& entry : kSdmRegisters) {
		SCOPED_TRACE(testing::PrintToString(entry.reg));
		cpu_.clear_log();
		auto value = cache_.read(loaded_, entry.reg);
		ASSERT_TRUE(value.ok());
		EXPECT_EQ(value.value(), field(entry.reg));
		EXPECT_EQ(cpu_.log(), one_vmread(entry.reg));
	}
}

TEST_P(Invariant2, MissMarksThatRegisterAndNoOther)
{
	RegSet expected;
	for (const SdmRegister& entry : kSdmRegisters) {
		ASSERT_TRUE(cache_.read(loaded_, entry.reg).ok());
		expected |= entry.reg;
		EXPECT_EQ(cache_.available(), expected);
		EXPECT_TRUE(cache_.dirty().empty());
	}
}

TEST_P(Invariant2, RegisterIsNotAvailableWhileItsFieldIsRead)
{
	u32 looked = 0;
	cpu_.set_hook([&](const FieldAccess& access) {
		for (const SdmRegister& entry : kSdmRegisters) {
			if (entry.encoding == access.encoding) {
				EXPECT_FALSE(cache_.available().contains(entry.reg))
					<< testing::PrintToString(entry.reg);
				looked++;
			}
		}
	});
	read_all_registers();
	EXPECT_EQ(looked, kSdmRegisters.size());
}

// A PMI that arrives during the VMREAD may read the same register.  It gets the value, and nothing is lost.
TEST_P(Invariant2, ReadThatInterruptsAMissGetsTheValue)
{
	bool nested = false;
	cpu_.set_hook([&](const FieldAccess&) {
		if (!nested) {
			nested = true;
			EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), field(Reg::kRip));
		}
	});
	EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), field(Reg::kRip));
	EXPECT_EQ(cpu_.log().size(), 2u);
	EXPECT_EQ(cache_.available(), RegSet(Reg::kRip));
}

TEST_P(Invariant2, NumbersWithoutARegisterReadNothing)
{
	for (int i = 0; i < 256; i++) {
		auto reg = static_cast<Reg>(i);
		if (is_register(reg))
			continue;
		EXPECT_EQ(cache_.read(loaded_, reg).error(), Error::kNoRegister) << i;
		EXPECT_EQ(cache_.write(loaded_, reg, 1).error(), Error::kNoRegister) << i;
	}
	EXPECT_TRUE(cpu_.log().empty());
	EXPECT_TRUE(cache_.available().empty());
	EXPECT_TRUE(cache_.dirty().empty());
}

TEST_P(Invariant2, FastPathRegistersAreThoseOfAvailableOnesWhoseReadsNobodyWatches)
{
	RegSet expected;
	for (const TypedRegister& typed : all_typed_registers()) {
		ASSERT_TRUE(typed.read(cache_, loaded_).ok());
		if (!GetParam())
			expected |= typed.reg;
		EXPECT_EQ(cache_.fast_path(), expected);
	}
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	for (const TypedRegister& typed : writable_typed_registers())
		typed.write(cache_, loaded_, other_value(typed.reg));
	EXPECT_EQ(cache_.fast_path(), GetParam() ? RegSet() : writable_registers());
}

TEST_P(Invariant2, RegistersThatAreReadTogetherBecomeFastPathTogether)
{
	u64 rip = 0, rsp = 0;
	constexpr RegSet kBoth(Reg::kRip, Reg::kRsp);
	for (RegSet first : {RegSet(), RegSet(Reg::kRsp)}) {
		cache_.mark_for_reload(loaded_, kBoth);
		if (!first.empty()) {
			ASSERT_TRUE(cache_.read_untraced<Reg::kRsp>(loaded_).ok());
		}
		ASSERT_TRUE((cache_.read_all<Reg::kRip, Reg::kRsp>(loaded_, rip, rsp)).ok());
		EXPECT_EQ(cache_.fast_path(), GetParam() ? RegSet() : kBoth);
	}
}

TEST_P(Invariant2, WatchingTakesTheFastPathnessAwayAndItsEndGivesItBack)
{
	cache_.hooks().observer.watch_reads(false);
	read_all_registers();
	EXPECT_EQ(cache_.fast_path(), RegSet::all());
	cache_.hooks().observer.watch_reads(true);
	cache_.watching_changed(loaded_);
	EXPECT_TRUE(cache_.fast_path().empty());
	EXPECT_EQ(cache_.available(), RegSet::all());
	read_all_registers();
	cache_.write<Reg::kRip>(loaded_, u64{1});
	EXPECT_TRUE(cache_.fast_path().empty());
	cache_.hooks().observer.watch_reads(false);
	cache_.watching_changed(loaded_);
	EXPECT_EQ(cache_.fast_path(), RegSet::all());
	cache_.hooks().observer.watch_reads(GetParam());
	cache_.watching_changed(loaded_);
}

// A register that could take the fast path does so at the next invalidation.
TEST_P(Invariant2, VmExitFindsOutWhetherHitsAreWatched)
{
	cache_.hooks().observer.watch_reads(!GetParam());
	read_all_registers();
	ASSERT_TRUE(cache_.read_untraced<Reg::kEfer>(loaded_).ok());
	cache_.hooks().observer.watch_reads(GetParam());
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	EXPECT_EQ(cache_.fast_path(), GetParam() ? RegSet() : registers_changed_by(ChangedBy::kHost));
}

TEST_P(Invariant2, ReadOfSeveralReadsWhatIsMissingInTheOrderGiven)
{
	ASSERT_TRUE(cache_.read<Reg::kRflags>(loaded_).ok());
	cache_.write<Reg::kRsp>(loaded_, u64{0x1000});
	forget_records();
	u32 length = 0;
	u64 rflags = 0, rip = 0, rsp = 0;
	auto read = [&] {
		return cache_.read_all<Reg::kExitInstructionLength, Reg::kRflags, Reg::kRsp, Reg::kRip>(loaded_, length,
													rflags, rsp,
													rip);
	};
	ASSERT_TRUE(read().ok());
	EXPECT_EQ(length, field(Reg::kExitInstructionLength));
	EXPECT_EQ(rflags, field(Reg::kRflags));
	EXPECT_EQ(rsp, 0x1000u);
	EXPECT_EQ(rip, field(Reg::kRip));
	ASSERT_EQ(cpu_.log().size(), 2u);
	EXPECT_EQ(cpu_.log()[0], one_vmread(Reg::kExitInstructionLength)[0]);
	EXPECT_EQ(cpu_.log()[1], one_vmread(Reg::kRip)[0]);
	EXPECT_EQ(cache_.hooks().context.checks(), std::vector<Operation>{Operation::kRead});
	std::vector<Event> events = {miss_event(Reg::kExitInstructionLength, length)};
	if (GetParam()) {
		events.push_back(hit_event(Reg::kRflags));
		events.push_back(hit_event(Reg::kRsp));
	}
	events.push_back(miss_event(Reg::kRip, rip));
	EXPECT_EQ(cache_.hooks().observer.events(), events);
	RegSet all = {Reg::kExitInstructionLength, Reg::kRflags, Reg::kRsp, Reg::kRip};
	EXPECT_EQ(cache_.available(), all);
	EXPECT_EQ(cache_.fast_path(), GetParam() ? RegSet() : all);
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRsp));

	// Now all are available, whichever VMCS is current.
	cpu_.unload();
	cpu_.clear_log();
	length = 0;
	ASSERT_TRUE(read().ok());
	EXPECT_EQ(length, field(Reg::kExitInstructionLength));
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant2, ReadOfSeveralThatFailsKeepsWhatWasReadBefore)
{
	constexpr RegSet kInOrder[] = {{}, {Reg::kRip}, {Reg::kRip, Reg::kRsp}};
	u64 rip = 0, rsp = 0, rflags = 0;
	auto read = [&] { return cache_.read_all<Reg::kRip, Reg::kRsp, Reg::kRflags>(loaded_, rip, rsp, rflags); };
	for (u32 nth = 1; nth <= 3; nth++) {
		ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
		cpu_.fail_nth_access(nth, Error::kVmFailValid);
		EXPECT_EQ(read().error(), Error::kVmFailValid);
		EXPECT_EQ(cache_.available(), kInOrder[nth - 1]);
	}
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	cpu_.load(kVmcsB);
	cpu_.clear_log();
	EXPECT_EQ(read().error(), Error::kNotCurrent);
	EXPECT_TRUE(cpu_.log().empty());
	EXPECT_TRUE(cache_.available().empty());
}

TEST_P(Invariant2, PeekLooksAtMemoryAlone)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		EXPECT_EQ(cache_.peek(typed.reg), 0u);
		ASSERT_TRUE(typed.read(cache_, loaded_).ok());
		ASSERT_NE(field(typed.reg), 0u);
		forget_records();
		EXPECT_EQ(cache_.peek(typed.reg), field(typed.reg));
		EXPECT_TRUE(cpu_.log().empty());
		EXPECT_TRUE(cache_.hooks().observer.events().empty());
		EXPECT_TRUE(cache_.hooks().context.checks().empty());
		// The stale value of an unavailable register is not visible.
		cache_.mark_for_reload(loaded_, typed.reg);
		EXPECT_EQ(cache_.peek(typed.reg), 0u);
	}
}

// For code that runs between host and guest.
TEST_P(Invariant2, UntracedReadIsARead)
{
	EXPECT_EQ(cache_.read_untraced<Reg::kExitReason>(loaded_).value(), field(Reg::kExitReason));
	EXPECT_EQ(cpu_.log(), one_vmread(Reg::kExitReason));
	EXPECT_EQ(cache_.available(), RegSet(Reg::kExitReason));
	EXPECT_TRUE(cache_.fast_path().empty());
	cpu_.clear_log();
	EXPECT_EQ(cache_.read_untraced<Reg::kExitReason>(loaded_).value(), field(Reg::kExitReason));
	EXPECT_EQ(cache_.read<Reg::kExitReason>(loaded_).value(), field(Reg::kExitReason));
	cache_.write<Reg::kRip>(loaded_, u64{5});
	EXPECT_EQ(cache_.read_untraced<Reg::kRip>(loaded_).value(), 5u);
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant2, UntracedReadOfAnotherVmcsIsRefused)
{
	cpu_.load(kVmcsB);
	EXPECT_EQ(cache_.read_untraced<Reg::kExitReason>(loaded_).error(), Error::kNotCurrent);
	TestCache unbound;
	EXPECT_EQ(unbound.read_untraced<Reg::kExitReason>(loaded_).error(), Error::kNotBound);
	EXPECT_TRUE(cpu_.log().empty());
	cpu_.load(kVmcsA);
	cpu_.fail_nth_access(1, Error::kFault);
	EXPECT_EQ(cache_.read_untraced<Reg::kExitReason>(loaded_).error(), Error::kFault);
	EXPECT_TRUE(cache_.available().empty());
}

TEST_P(Invariant2, TestAndMarkTakesTheValueOnlyWhereThereIsNone)
{
	EXPECT_FALSE(cache_.test_and_mark_available<Reg::kRip>(loaded_, u64{7}));
	EXPECT_EQ(cache_.available(), RegSet(Reg::kRip));
	EXPECT_TRUE(cache_.dirty().empty());
	EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), 7u);
	cache_.write<Reg::kRsp>(loaded_, u64{8});
	EXPECT_TRUE(cache_.test_and_mark_available<Reg::kRsp>(loaded_, u64{9}));
	EXPECT_EQ(cache_.read<Reg::kRsp>(loaded_).value(), 8u);
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRsp));
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant2, ReloadedRegisterIsReadFromTheVmcs)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		read_all_registers();
		cache_.mark_for_reload(loaded_, typed.reg);
		EXPECT_EQ(cache_.available(), RegSet::all() - RegSet(typed.reg));
		EXPECT_FALSE(cache_.fast_path().contains(typed.reg));
		memory_.poke(kVmcsA, encoding_of(typed.reg), other_value(typed.reg));
		cpu_.clear_log();
		EXPECT_EQ(typed.read(cache_, loaded_).value(), field(typed.reg));
		EXPECT_EQ(cpu_.log(), one_vmread(typed.reg));
	}
}

TEST_P(Invariant2, ReloadGivesUpWhatWasSetAndNotStored)
{
	write_all_writable_registers();
	RegSet set = {Reg::kRip, Reg::kCr0ReadShadow, Reg::kDebugctl};
	cpu_.clear_log();
	cache_.mark_for_reload(loaded_, set);
	EXPECT_EQ(cache_.dirty(), writable_registers() - set);
	EXPECT_EQ(cache_.available(), writable_registers() - set);
	EXPECT_TRUE(cpu_.log().empty());
	u64 rip = field(Reg::kRip);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(field(Reg::kRip), rip);
	EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), rip);
	EXPECT_EQ(cpu_.count(AccessKind::kVmwrite, encoding_of(Reg::kRip)), 0u);
}

TEST_P(Invariant2, StateOfOneRegister)
{
	EXPECT_FALSE(cache_.is_available(Reg::kRip));
	EXPECT_FALSE(cache_.is_dirty(Reg::kRip));
	ASSERT_TRUE(cache_.read<Reg::kRip>(loaded_).ok());
	EXPECT_TRUE(cache_.is_available(Reg::kRip));
	EXPECT_FALSE(cache_.is_dirty(Reg::kRip));
	cache_.write<Reg::kRip>(loaded_, u64{1});
	EXPECT_TRUE(cache_.is_available(Reg::kRip));
	EXPECT_TRUE(cache_.is_dirty(Reg::kRip));
	write_all_writable_registers();
	read_all_registers();
	for (int i = 64; i < 256; i++) {
		EXPECT_FALSE(cache_.is_available(static_cast<Reg>(i)));
		EXPECT_FALSE(cache_.is_dirty(static_cast<Reg>(i)));
	}
}

// 3. A failed VMREAD or VMWRITE is returned to the caller as an error and changes no bit.
class Invariant3 : public EitherWay {};
EITHER_WAY(Invariant3);

TEST_P(Invariant3, FailedVmreadReachesTheCallerAndLeavesTheRegisterUnavailable)
{
	for (Error error : kAccessErrors) {
		for (const TypedRegister& typed : all_typed_registers()) {
			SCOPED_TRACE(testing::PrintToString(typed.reg));
			cpu_.fail_nth_access(1, error);
			EXPECT_EQ(typed.read(cache_, loaded_).error(), error);
			cpu_.fail_nth_access(1, error);
			EXPECT_EQ(cache_.read(loaded_, typed.reg).error(), error);
			EXPECT_TRUE(cache_.available().empty());
			EXPECT_TRUE(cache_.dirty().empty());
		}
	}
	EXPECT_EQ(cpu_.log().size(), std::size(kAccessErrors) * kSdmRegisters.size() * 2);
}

TEST_P(Invariant3, ReadAfterAFailedVmreadReadsAgain)
{
	for (const TypedRegister& typed : all_typed_registers()) {
		cpu_.fail_nth_access(1, Error::kVmFailValid);
		ASSERT_FALSE(typed.read(cache_, loaded_).ok());
		EXPECT_EQ(typed.read(cache_, loaded_).value(), field(typed.reg)) << testing::PrintToString(typed.reg);
		EXPECT_EQ(cpu_.count(AccessKind::kVmread, encoding_of(typed.reg)), 2u);
	}
}

TEST_P(Invariant3, FailedVmreadLeavesOtherRegistersAlone)
{
	cache_.write<Reg::kRsp>(loaded_, u64{1});
	ASSERT_TRUE(cache_.read<Reg::kRflags>(loaded_).ok());
	cpu_.fail_nth_access(1, Error::kFault);
	ASSERT_FALSE(cache_.read<Reg::kRip>(loaded_).ok());
	EXPECT_EQ(cache_.available(), RegSet(Reg::kRsp, Reg::kRflags));
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRsp));
}

TEST_P(Invariant3, FailedVmwriteReachesTheCallerAndLeavesTheRegisterDirty)
{
	for (Error error : kAccessErrors) {
		for (const SdmRegister& entry : kSdmRegisters) {
			if (!is_writable(entry.reg))
				continue;
			SCOPED_TRACE(testing::PrintToString(entry.reg));
			u64 value = other_value(entry.reg);
			ASSERT_TRUE(cache_.write(loaded_, entry.reg, value).ok());
			cpu_.fail_field(entry.encoding, error);
			EXPECT_EQ(cache_.write_back(pinned_).error(), error);
			EXPECT_EQ(cache_.dirty(), RegSet(entry.reg));
			EXPECT_TRUE(cache_.available().contains(entry.reg));
			cpu_.stop_failing();
			EXPECT_TRUE(cache_.write_back(pinned_).ok());
			EXPECT_EQ(field(entry.reg), value);
			EXPECT_TRUE(cache_.dirty().empty());
		}
	}
}

// Whichever of many VMWRITEs fails: those before it are done, it and those after it are not, and a second attempt
// writes back the rest and nothing twice.
TEST_P(Invariant3, WriteBackStopsAtTheFailureAndCanBeRepeated)
{
	u32 writable = writable_registers().size();
	for (u32 nth = 1; nth <= writable; nth++) {
		write_all_writable_registers();
		ASSERT_EQ(cache_.dirty().size(), writable);
		cpu_.clear_log();
		cpu_.fail_nth_access(nth, Error::kFault);
		ASSERT_EQ(cache_.write_back(pinned_).error(), Error::kFault);
		EXPECT_EQ(cpu_.log().size(), nth);
		EXPECT_EQ(cache_.dirty().size(), writable - nth + 1);
		for (const FieldAccess& access : cpu_.log()) {
			auto same = [&](const SdmRegister& entry) { return entry.encoding == access.encoding; };
			auto entry = std::ranges::find_if(kSdmRegisters, same);
			ASSERT_NE(entry, kSdmRegisters.end());
			EXPECT_EQ(cache_.dirty().contains(entry->reg), access.error != Error::kNone);
		}
		RegSet left = cache_.dirty();
		cpu_.clear_log();
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		EXPECT_EQ(cpu_.log().size(), left.size());
		EXPECT_TRUE(cache_.dirty().empty());
	}
}

TEST_P(Invariant3, WriteOfExitInformationIsRefused)
{
	for (const SdmRegister& entry : kSdmRegisters) {
		if (is_writable(entry.reg))
			continue;
		EXPECT_EQ(cache_.write(loaded_, entry.reg, 1).error(), Error::kNoRegister);
		EXPECT_TRUE(cache_.available().empty());
		EXPECT_TRUE(cache_.dirty().empty());
	}
}

// 4. VM-exit clears exactly the lazy set.  VM-entry writes back exactly the dirty registers, each once.
class Invariant4 : public EitherWay {};
EITHER_WAY(Invariant4);

TEST_P(Invariant4, VmExitClearsExactlyTheLazySet)
{
	read_all_registers();
	ASSERT_EQ(cache_.available(), RegSet::all());
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	EXPECT_EQ(cache_.available(), registers_changed_by(ChangedBy::kHost));
	EXPECT_TRUE(cache_.dirty().empty());
}

TEST_P(Invariant4, VmExitTouchesNoField)
{
	read_all_registers();
	cpu_.clear_log();
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant4, ReadAfterVmExitSeesWhatTheGuestChanged)
{
	read_all_registers();
	for (const SdmRegister& entry : kSdmRegisters) {
		if (entry.changed_by != ChangedBy::kHost)
			memory_.poke(kVmcsA, entry.encoding, other_value(entry.reg));
	}
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	cpu_.clear_log();
	for (const SdmRegister& entry : kSdmRegisters) {
		SCOPED_TRACE(testing::PrintToString(entry.reg));
		EXPECT_EQ(cache_.read(loaded_, entry.reg).value(), field(entry.reg));
		bool reread = entry.changed_by != ChangedBy::kHost;
		EXPECT_EQ(cpu_.count(AccessKind::kVmread, entry.encoding), reread ? 1u : 0u);
	}
}

TEST_P(Invariant4, WriteBackStoresEachDirtyRegisterOnceAndNothingElse)
{
	read_all_registers();
	write_all_writable_registers();
	std::vector<std::tuple<u32, u64>> expected;
	for (const SdmRegister& entry : kSdmRegisters) {
		if (is_writable(entry.reg))
			expected.emplace_back(entry.encoding, other_value(entry.reg));
	}
	cpu_.clear_log();
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	std::vector<std::tuple<u32, u64>> stored;
	for (const FieldAccess& access : cpu_.log()) {
		EXPECT_EQ(access.kind, AccessKind::kVmwrite);
		stored.emplace_back(access.encoding, access.value);
	}
	std::ranges::sort(expected);
	std::ranges::sort(stored);
	EXPECT_EQ(stored, expected);
	EXPECT_TRUE(cache_.dirty().empty());
	EXPECT_EQ(cache_.available(), RegSet::all());
}

TEST_P(Invariant4, WriteBackOfOneRegisterStoresThatOneOnly)
{
	for (const TypedRegister& typed : writable_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		u64 value = other_value(typed.reg);
		typed.write(cache_, loaded_, value);
		cpu_.clear_log();
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		std::vector<FieldAccess> expected = {
			{AccessKind::kVmwrite, kVmcsA, encoding_of(typed.reg), value, Error::kNone}};
		EXPECT_EQ(cpu_.log(), expected);
		EXPECT_EQ(field(typed.reg), value);
		EXPECT_TRUE(cache_.dirty().empty());
	}
}

TEST_P(Invariant4, SecondWriteBackStoresNothing)
{
	write_all_writable_registers();
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	cpu_.clear_log();
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant4, RegisterStaysDirtyWhileItsFieldIsWritten)
{
	write_all_writable_registers();
	cpu_.set_hook([&](const FieldAccess& access) {
		for (const SdmRegister& entry : kSdmRegisters) {
			if (entry.encoding == access.encoding) {
				EXPECT_TRUE(cache_.dirty().contains(entry.reg)) << testing::PrintToString(entry.reg);
			}
		}
	});
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
}

TEST_P(Invariant4, LastOfManyWritesIsStored)
{
	for (u64 value = 1; value <= 3; value++)
		cache_.write<Reg::kRip>(loaded_, value);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(cpu_.log().size(), 1u);
	EXPECT_EQ(field(Reg::kRip), 3u);
}

TEST_P(Invariant4, WrittenBackRegisterIsKnownUntilTheNextVmExit)
{
	cache_.write<Reg::kRip>(loaded_, u64{0x1234});
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	cache_.write<Reg::kRip>(loaded_, u64{0x1234});
	EXPECT_TRUE(cache_.dirty().empty());
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	cache_.write<Reg::kRip>(loaded_, u64{0x1234});
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRip));
}

TEST_P(Invariant4, VmExitWithADirtyRegisterIsAnErrorAndKeepsIt)
{
	for (const SdmRegister& entry : kSdmRegisters) {
		if (!is_writable(entry.reg))
			continue;
		SCOPED_TRACE(testing::PrintToString(entry.reg));
		read_all_registers();
		u64 value = other_value(entry.reg);
		ASSERT_TRUE(cache_.write(loaded_, entry.reg, value).ok());
		EXPECT_EQ(cache_.vm_exit(pinned_).error(), Error::kDirty);
		EXPECT_EQ(cache_.dirty(), RegSet(entry.reg));
		EXPECT_EQ(cache_.available(), registers_changed_by(ChangedBy::kHost) | RegSet(entry.reg));
		EXPECT_EQ(cache_.read(loaded_, entry.reg).value(), value);
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
	}
}

// VMfail: the guest did not run, so cached guest state is still valid.
TEST_P(Invariant4, VmEntryThatFailedDropsExactlyTheExitInformation)
{
	read_all_registers();
	cache_.vm_fail(pinned_);
	EXPECT_EQ(cache_.available(), writable_registers());
	EXPECT_TRUE(cache_.dirty().empty());
}

TEST_P(Invariant4, VmEntryThatFailedKeepsDirtyRegisters)
{
	write_all_writable_registers();
	cpu_.clear_log();
	cache_.vm_fail(pinned_);
	EXPECT_EQ(cache_.dirty(), writable_registers());
	EXPECT_EQ(cache_.available(), writable_registers());
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant4, VmEntryFailureExitKeepsGuestStateAndDropsExitInformation)
{
	read_all_registers();
	memory_.poke(kVmcsA, encoding_of(Reg::kExitReason), 0x80000021);
	cpu_.clear_log();
	cache_.vm_entry_failure_exit(pinned_);
	EXPECT_TRUE(cpu_.log().empty());
	RegSet expected = writable_registers() | RegSet(Reg::kIdtVectoringInformation, Reg::kIdtVectoringErrorCode);
	EXPECT_EQ(cache_.available(), expected);
	EXPECT_EQ(cache_.read<Reg::kExitReason>(loaded_).value(), 0x80000021u);
}

// Hardware does not write the field then (SDM Vol. 3C, 27.8): it holds the value of an earlier VM-exit.
TEST_P(Invariant4, VmEntryFailureExitReadsNoIdtVectoringInformation)
{
	memory_.poke(kVmcsA, encoding_of(Reg::kIdtVectoringInformation), 0x80000b0e);
	for (bool known_before : {false, true}) {
		if (known_before) {
			ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
			ASSERT_EQ(cache_.read<Reg::kIdtVectoringInformation>(loaded_).value(), 0x80000b0eu);
		}
		cpu_.clear_log();
		cache_.vm_entry_failure_exit(pinned_);
		EXPECT_EQ(cache_.read<Reg::kIdtVectoringInformation>(loaded_).value(), 0u);
		EXPECT_EQ(cache_.read(loaded_, Reg::kIdtVectoringInformation).value(), 0u);
		EXPECT_TRUE(cpu_.log().empty());
	}
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	EXPECT_EQ(cache_.read<Reg::kIdtVectoringInformation>(loaded_).value(), 0x80000b0eu);
}

TEST_P(Invariant4, ValuesAreCutToTheWidthOfTheField)
{
	for (const SdmRegister& entry : kSdmRegisters) {
		if (!is_writable(entry.reg))
			continue;
		SCOPED_TRACE(testing::PrintToString(entry.reg));
		constexpr u64 kWide = 0xfedcba9876543210;
		ASSERT_TRUE(cache_.write(loaded_, entry.reg, kWide).ok());
		EXPECT_EQ(cache_.read(loaded_, entry.reg).value(), kWide & mask_of(entry.reg));
		cpu_.clear_log();
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		ASSERT_EQ(cpu_.log().size(), 1u);
		EXPECT_EQ(cpu_.log()[0].value, kWide & mask_of(entry.reg));
		// Bits beyond the field do not make the value differ.
		u64 beyond = kWide ^ ~mask_of(entry.reg);
		ASSERT_TRUE(cache_.write(loaded_, entry.reg, beyond).ok());
		EXPECT_TRUE(cache_.dirty().empty());
	}
}

// 5. One cache belongs to one VMCS.
class Invariant5 : public EitherWay {};
EITHER_WAY(Invariant5);

TEST_P(Invariant5, BindToAnotherVmcsForgetsEverything)
{
	read_all_registers();
	ASSERT_TRUE(cache_.bind(loaded_, kVmcsB).ok());
	EXPECT_EQ(cache_.vmcs(), kVmcsB);
	EXPECT_TRUE(cache_.available().empty());
	cpu_.load(kVmcsB);
	for (const SdmRegister& entry : kSdmRegisters)
		EXPECT_EQ(cache_.read(loaded_, entry.reg).value(), field(entry.reg, kVmcsB));
}

TEST_P(Invariant5, BindToTheSameVmcsChangesNothing)
{
	read_all_registers();
	cache_.write<Reg::kRip>(loaded_, u64{1});
	ASSERT_TRUE(cache_.bind(loaded_, kVmcsA).ok());
	EXPECT_EQ(cache_.vmcs(), kVmcsA);
	EXPECT_EQ(cache_.available(), RegSet::all());
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRip));
}

TEST_P(Invariant5, BindToAnotherVmcsWithADirtyRegisterIsAnErrorAndChangesNothing)
{
	for (const TypedRegister& typed : writable_typed_registers()) {
		SCOPED_TRACE(testing::PrintToString(typed.reg));
		read_all_registers();
		u64 value = other_value(typed.reg);
		typed.write(cache_, loaded_, value);
		EXPECT_EQ(cache_.bind(loaded_, kVmcsB).error(), Error::kDirty);
		EXPECT_EQ(cache_.vmcs(), kVmcsA);
		EXPECT_EQ(cache_.available(), RegSet::all());
		EXPECT_EQ(cache_.dirty(), RegSet(typed.reg));
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		EXPECT_EQ(field(typed.reg), value);
	}
	EXPECT_TRUE(cache_.bind(loaded_, kVmcsB).ok());
}

TEST_P(Invariant5, BindTouchesNoField)
{
	ASSERT_TRUE(cache_.bind(loaded_, kVmcsB).ok());
	ASSERT_TRUE(cache_.bind(loaded_, kVmcsA).ok());
	EXPECT_TRUE(cpu_.log().empty());
}

// The VMCS is cleared on one CPU and loaded on another; the cache need not be notified.
TEST_P(Invariant5, MigrationChangesNothing)
{
	read_all_registers();
	cache_.write<Reg::kRip>(loaded_, u64{0x4000});
	RegSet available = cache_.available();
	cpu_.unload();
	cpu_.clear_log();

	ModelCpu other_cpu(memory_);
	other_cpu.load(kVmcsA);
	Pinned there{ModelAccess(other_cpu), ModelAccess::Key()};
	EXPECT_EQ(cache_.available(), available);
	EXPECT_EQ(cache_.dirty(), RegSet(Reg::kRip));
	EXPECT_EQ(cache_.read<Reg::kRsp>(there).value(), field(Reg::kRsp));
	EXPECT_TRUE(other_cpu.log().empty());
	ASSERT_TRUE(cache_.write_back(there).ok());
	EXPECT_EQ(field(Reg::kRip), 0x4000u);
	EXPECT_EQ(other_cpu.log().size(), 1u);
	ASSERT_TRUE(cache_.vm_exit(there).ok());
	EXPECT_EQ(cache_.read<Reg::kRsp>(there).value(), field(Reg::kRsp));
	EXPECT_EQ(other_cpu.log().size(), 2u);
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_P(Invariant5, CacheThatBelongsToNoVmcsTouchesNone)
{
	TestCache unbound;
	EXPECT_EQ(unbound.vmcs(), VmcsId::kNone);
	EXPECT_TRUE(unbound.available().empty());
	EXPECT_TRUE(unbound.dirty().empty());
	EXPECT_EQ(unbound.read<Reg::kRip>(loaded_).error(), Error::kNotBound);
	EXPECT_EQ(unbound.read(loaded_, Reg::kRip).error(), Error::kNotBound);
	// Not even on a CPU without a current VMCS, where "none" would seem to match.
	cpu_.unload();
	EXPECT_EQ(unbound.read<Reg::kRip>(loaded_).error(), Error::kNotBound);
	EXPECT_TRUE(unbound.available().empty());
	EXPECT_TRUE(cpu_.log().empty());
}

// 7. The cache's VMCS is current on this CPU whenever a field is accessed.
class Invariant7 : public EitherWay {};
EITHER_WAY(Invariant7);

TEST_P(Invariant7, MissWithAnotherCurrentVmcsTouchesNoField)
{
	for (VmcsId current : {kVmcsB, VmcsId::kNone}) {
		cpu_.load(current);
		for (const TypedRegister& typed : all_typed_registers()) {
			SCOPED_TRACE(testing::PrintToString(typed.reg));
			EXPECT_EQ(typed.read(cache_, loaded_).error(), Error::kNotCurrent);
			EXPECT_EQ(cache_.read(loaded_, typed.reg).error(), Error::kNotCurrent);
		}
	}
	EXPECT_TRUE(cpu_.log().empty());
	EXPECT_TRUE(cache_.available().empty());
	cpu_.load(kVmcsA);
	EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), field(Reg::kRip));
}

TEST_P(Invariant7, WriteBackWithAnotherCurrentVmcsTouchesNoField)
{
	write_all_writable_registers();
	for (VmcsId current : {kVmcsB, VmcsId::kNone}) {
		cpu_.load(current);
		EXPECT_EQ(cache_.write_back(pinned_).error(), Error::kNotCurrent);
		EXPECT_EQ(cache_.dirty(), writable_registers());
		EXPECT_TRUE(cpu_.log().empty());
	}
	cpu_.load(kVmcsA);
	EXPECT_TRUE(cache_.write_back(pinned_).ok());
	for (const FieldAccess& access : cpu_.log())
		EXPECT_EQ(access.vmcs, kVmcsA);
}

// Cached values are valid whichever VMCS is current.
TEST_P(Invariant7, HitNeedsNoCurrentVmcs)
{
	read_all_registers();
	u64 rip = field(Reg::kRip);
	cpu_.unload();
	cpu_.clear_log();
	EXPECT_EQ(cache_.read<Reg::kRip>(loaded_).value(), rip);
	EXPECT_TRUE(cpu_.log().empty());
}

}  // namespace
}  // namespace vregcache::test
