// SPDX-License-Identifier: GPL-2.0
// Verification finds a cache that differs from its VMCS, reports where and the value's origin, and changes nothing.

#include <gtest/gtest.h>

#include <tuple>
#include <utility>
#include <vector>

#include "cache_fixture.h"
#include "cache_test_access.h"
#include "typed_registers.h"

namespace vregcache::test {
namespace {

using Findings = std::vector<Finding>;
using Origins = std::vector<Origin>;

constexpr FoundAt kMiss = FoundAt::kMiss, kHit = FoundAt::kHit, kEntry = FoundAt::kVmEntry;
// One of each kind: the guest's, the host's, exit information, a part of a segment.
constexpr Reg kSome[] = {Reg::kRip, Reg::kEfer, Reg::kExitQualification,
			 segment_register(Segment::kCs, SegmentPart::kLimit)};

class VerificationTest : public testing::Test {
 protected:
	VerificationTest()
	{
		cpu_.load(kVmcsA);
		EXPECT_TRUE(cache_.bind(loaded_, kVmcsA).ok());
		verification().enable(true);
		// Not that of an entry-failure exit.
		memory_.poke(kVmcsA, encoding_of(Reg::kExitReason), 10);
	}

	RecordingVerification& verification() { return cache_.hooks().verification; }
	const Findings& findings() { return verification().findings(); }
	u64 field(Reg reg) { return memory_.peek(kVmcsA, encoding_of(reg)); }
	u64& in_memory(Reg reg) { return CacheTestAccess::value(cache_, reg); }
	u64 read(Reg reg) { return cache_.read(loaded_, reg).value_or(~u64{0}); }
	void read_all_registers()
	{
		for (const SdmRegister& entry : kSdmRegisters)
			ASSERT_TRUE(cache_.read(loaded_, entry.reg).ok());
	}

	// As hardware does at a VM-exit.
	void guest_changes(Reg reg) { memory_.poke(kVmcsA, encoding_of(reg), field(reg) ^ 0x10); }

	ModelMemory memory_;
	ModelCpu cpu_{memory_};
	Loaded loaded_{ModelAccess(cpu_), ModelAccess::Key()};
	Pinned pinned_{ModelAccess(cpu_), ModelAccess::Key()};
	TestCache cache_;
};

// Comparisons.

TEST_F(VerificationTest, EachHitOfEachRegisterIsCompared)
{
	u32 hits = 0;
	for (const SdmRegister& entry : kSdmRegisters) {
		read(entry.reg);
		EXPECT_EQ(verification().compared_at(kHit), hits);
		read(entry.reg);
		read(entry.reg);
		EXPECT_EQ(verification().compared_at(kHit), hits += 2);
	}
	EXPECT_TRUE(findings().empty());
}

TEST_F(VerificationTest, EachHitAmongSeveralIsCompared)
{
	u64 rip, rsp, flags;
	read(Reg::kRsp);
	ASSERT_TRUE((cache_.read_all<Reg::kRip, Reg::kRsp, Reg::kRflags>(loaded_, rip, rsp, flags).ok()));
	EXPECT_EQ(verification().compared_at(kHit), 1u);
	ASSERT_TRUE((cache_.read_all<Reg::kRip, Reg::kRsp, Reg::kRflags>(loaded_, rip, rsp, flags).ok()));
	EXPECT_EQ(verification().compared_at(kHit), 4u);
}

TEST_F(VerificationTest, EachAvailableRegisterIsComparedAtVmEntryAlsoWhatWasJustStored)
{
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(verification().compared_at(kEntry), 0u);
	read_all_registers();
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(verification().compared_at(kEntry), 64u);
	cache_.write<Reg::kRip>(loaded_, field(Reg::kRip) + 1);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(verification().compared_at(kEntry), 128u);
	EXPECT_TRUE(findings().empty());
}

TEST_F(VerificationTest, WhatIsDirtyIsNotComparedAtAHit)
{
	for (const TypedRegister& typed : writable_typed_registers()) {
		typed.write(cache_, loaded_, field(typed.reg) ^ 1);
		read(typed.reg);
	}
	EXPECT_EQ(verification().compared_at(kHit), 0u);
	EXPECT_TRUE(findings().empty());
}

TEST_F(VerificationTest, NothingIsComparedOrRememberedWhileItIsOff)
{
	verification().enable(false);
	for (Reg reg : kSome) {
		read(reg);
		in_memory(reg) ^= 1;
		read(reg);
	}
	cache_.write<Reg::kRip>(loaded_, u64{1});
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(cpu_.unseen(), 0u);
	EXPECT_TRUE(findings().empty());
	EXPECT_TRUE(verification().origins().empty());
}

TEST_F(VerificationTest, WhatItReadsIsNoAccessAndNoEvent)
{
	auto run = [&](bool on) {
		verification().enable(on);
		cache_.mark_for_reload(loaded_, RegSet::all());
		cpu_.clear_log();
		cache_.hooks().observer.clear();
		cache_.hooks().context.clear();
		read_all_registers();
		read_all_registers();
		cache_.write<Reg::kRip>(loaded_, field(Reg::kRip) + 1);
		std::ignore = cache_.write_back(pinned_);
		std::ignore = cache_.vm_exit(pinned_);
		return std::tuple(cpu_.log().size(), cache_.hooks().observer.events().size(),
				  cache_.hooks().context.checks());
	};
	auto off = run(false);
	EXPECT_EQ(run(true), off);
	EXPECT_LT(100u, cpu_.unseen());
}

TEST_F(VerificationTest, AFieldThatCannotBeReadIsNotCompared)
{
	read(Reg::kRip);
	cpu_.fail_field(encoding_of(Reg::kRip), Error::kVmFailValid);
	in_memory(Reg::kRip) ^= 1;
	read(Reg::kRip);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(verification().compared_at(kHit) + verification().compared_at(kEntry), 0u);
	EXPECT_TRUE(findings().empty());
}

// Memory serves reads even if there is no VMCS to compare it with.
TEST_F(VerificationTest, NothingIsComparedWhileAnotherVmcsIsKnownToBeCurrent)
{
	read(Reg::kRip);
	cpu_.load(kVmcsB);
	read(Reg::kRip);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	cpu_.unload();
	read(Reg::kRip);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(cpu_.unseen(), 0u);
	EXPECT_TRUE(findings().empty());
}

TEST_F(VerificationTest, NothingIsComparedBeforeTheCacheHasAVmcs)
{
	TestCache cache;
	cache.hooks().verification.enable(true);
	cache.write<Reg::kRip>(loaded_, u64{1});
	ASSERT_TRUE(cache.read<Reg::kRip>(loaded_).ok());
	EXPECT_EQ(cache.write_back(pinned_).error(), Error::kNotBound);
	EXPECT_EQ(cpu_.unseen(), 0u);
}

// An entry-failure exit writes no IDT-vectoring information, and the cache reports none.
TEST_F(VerificationTest, WhatAnEntryFailureLeavesIsNoMismatch)
{
	for (bool failed : {true, false}) {
		memory_.poke(kVmcsA, encoding_of(Reg::kExitReason), failed ? 0x80000021 : 10);
		cache_.vm_entry_failure_exit(pinned_);
		EXPECT_EQ(read(Reg::kIdtVectoringInformation), 0u);
		EXPECT_EQ(read(Reg::kIdtVectoringErrorCode), 0u);
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		// The exit reason decides.
		EXPECT_EQ(findings().size(), failed ? 0u : 4u);
	}
	EXPECT_EQ(verification().origins(), (Origins{{Reg::kIdtVectoringInformation, Operation::kVmEntryFailed},
						     {Reg::kIdtVectoringErrorCode, Operation::kVmEntryFailed},
						     {Reg::kIdtVectoringInformation, Operation::kVmEntryFailed},
						     {Reg::kIdtVectoringErrorCode, Operation::kVmEntryFailed}}));
}

// Findings.

TEST_F(VerificationTest, ForeignVmwriteIsFoundAtEachHitAndAtVmEntryAndChangesNothing)
{
	for (Reg reg : kSome) {
		u64 before = read(reg);
		memory_.poke(kVmcsA, encoding_of(reg), before ^ 2);
		verification().clear();
		EXPECT_EQ(read(reg), before);
		EXPECT_EQ(read(reg), before);
		ASSERT_TRUE(cache_.write_back(pinned_).ok());
		EXPECT_EQ(findings(), (Findings{{kHit, reg, before, before ^ 2},
						{kHit, reg, before, before ^ 2},
						{kEntry, reg, before, before ^ 2}}));
		EXPECT_EQ(field(reg), before ^ 2);
		EXPECT_TRUE(cache_.is_available(reg));
		cache_.mark_for_reload(loaded_, reg);
	}
}

TEST_F(VerificationTest, MissedInvalidationIsFoundAtTheFirstHit)
{
	u64 before = read(Reg::kRip);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	guest_changes(Reg::kRip);
	ASSERT_TRUE(cache_.vm_exit(pinned_).ok());
	CacheTestAccess::available(cache_) |= Reg::kRip;
	EXPECT_EQ(read(Reg::kRip), before);
	EXPECT_EQ(findings(), (Findings{{kHit, Reg::kRip, before, before ^ 0x10}}));
}

TEST_F(VerificationTest, LostWriteBackIsFoundAtVmEntry)
{
	u64 before = field(Reg::kRip);
	cache_.write<Reg::kRip>(loaded_, before + 1);
	CacheTestAccess::dirty(cache_) -= Reg::kRip;
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(findings(), (Findings{{kEntry, Reg::kRip, before + 1, before}}));
}

// Write-back reported success, but nothing was written.
TEST_F(VerificationTest, VmwriteThatDoesNothingIsFoundAtVmEntry)
{
	u64 before = field(Reg::kRip);
	cache_.write<Reg::kRip>(loaded_, before + 1);
	// The field has its old value again before it is compared.
	cpu_.set_unseen_hook([&] { memory_.poke(kVmcsA, encoding_of(Reg::kRip), before); });
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(findings(), (Findings{{kEntry, Reg::kRip, before + 1, before}}));
}

TEST_F(VerificationTest, SwappedPartsOfASegmentAreFoundBoth)
{
	Reg base = segment_register(Segment::kSs, SegmentPart::kBase);
	Reg limit = segment_register(Segment::kSs, SegmentPart::kLimit);
	u64 base_value = read(base), limit_value = read(limit);
	std::swap(in_memory(base), in_memory(limit));
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	EXPECT_EQ(findings().size(), 2u);
	std::ignore = read(limit);
	EXPECT_EQ(findings().back(), (Finding{kHit, limit, base_value, limit_value}));
}

TEST_F(VerificationTest, WrongVmcsIsFoundAtMissHitAndVmEntryAndIsNotTouched)
{
	Finding finding{kMiss, Reg::kEnd, static_cast<u64>(kVmcsA), static_cast<u64>(kVmcsB)};
	u64 rip = read(Reg::kRip);
	cpu_.clear_log();
	cpu_.load_unrecorded(kVmcsB);
	EXPECT_EQ(cache_.read(loaded_, Reg::kRsp).error(), Error::kNotCurrent);
	EXPECT_EQ(cache_.read<Reg::kRsp>(loaded_).error(), Error::kNotCurrent);
	EXPECT_EQ(findings(), Findings(2, finding));
	verification().clear();

	EXPECT_EQ(read(Reg::kRip), rip);
	finding.where = kHit;
	EXPECT_EQ(findings(), Findings{finding});
	verification().clear();

	cache_.write<Reg::kRip>(loaded_, rip + 1);
	EXPECT_EQ(cache_.write_back(pinned_).error(), Error::kNotCurrent);
	finding.where = kEntry;
	EXPECT_EQ(findings(), Findings{finding});
	EXPECT_TRUE(cache_.is_dirty(Reg::kRip));
	EXPECT_TRUE(cpu_.log().empty());
	EXPECT_EQ(cpu_.unseen(), 0u);
	// Even if nothing has to be written back.
	cpu_.load(kVmcsA);
	ASSERT_TRUE(cache_.write_back(pinned_).ok());
	cpu_.load_unrecorded(VmcsId::kNone);
	EXPECT_EQ(cache_.write_back(pinned_).error(), Error::kNotCurrent);
}

TEST_F(VerificationTest, WithoutVerificationAWrongVmcsGoesUnnoticed)
{
	verification().enable(false);
	cpu_.load_unrecorded(kVmcsB);
	EXPECT_EQ(read(Reg::kRsp), memory_.peek(kVmcsB, encoding_of(Reg::kRsp)));
	EXPECT_TRUE(findings().empty());
}

// Origins of cached values.

TEST_F(VerificationTest, ReadsAndWritesAreRemembered)
{
	read(Reg::kRip);
	read(Reg::kRip);
	std::ignore = cache_.read<Reg::kRsp>(loaded_);
	cache_.write<Reg::kRip>(loaded_, field(Reg::kRip));
	cache_.write<Reg::kRip>(loaded_, field(Reg::kRip) + 1);
	std::ignore = cache_.write(loaded_, Reg::kDr7, 1);
	u64 rip, flags;
	ASSERT_TRUE((cache_.read_all<Reg::kRip, Reg::kRflags>(loaded_, rip, flags).ok()));
	EXPECT_EQ(verification().origins(), (Origins{{Reg::kRip, Operation::kRead},
						     {Reg::kRsp, Operation::kRead},
						     {Reg::kRip, Operation::kWrite},
						     {Reg::kDr7, Operation::kWrite},
						     {Reg::kRflags, Operation::kRead}}));
}

VREGCACHE_OUT_OF_LINE void reads(TestCache& cache, const Loaded& vmcs)
{
	std::ignore = cache.read<Reg::kRip>(vmcs);
	asm volatile("");
}

VREGCACHE_OUT_OF_LINE void reads_several(TestCache& cache, const Loaded& vmcs)
{
	u64 rsp, flags;
	std::ignore = cache.read_all<Reg::kRsp, Reg::kRflags>(vmcs, rsp, flags);
	asm volatile("");
}

VREGCACHE_OUT_OF_LINE void writes(TestCache& cache, const Loaded& vmcs)
{
	cache.write<Reg::kCr3>(vmcs, u64{0x1000});
	asm volatile("");
}

TEST_F(VerificationTest, TheCallerIsRemembered)
{
	// Their callees are elsewhere, and sanitizers make them long.
	auto is_in = [](const void* where, void (*function)(TestCache&, const Loaded&)) {
		auto from = reinterpret_cast<const char*>(function);
		return from < where && where < from + 16384;
	};
	reads(cache_, loaded_);
	reads_several(cache_, loaded_);
	writes(cache_, loaded_);
	const std::vector<const void*>& callers = verification().callers();
	ASSERT_EQ(callers.size(), 4u);
	EXPECT_TRUE(is_in(callers[0], reads));
	EXPECT_FALSE(is_in(callers[0], reads_several) && is_in(callers[1], reads));
	EXPECT_TRUE(is_in(callers[1], reads_several));
	EXPECT_TRUE(is_in(callers[2], reads_several));
	EXPECT_TRUE(is_in(callers[3], writes));
}

// Last-written fields.

class LastWrittenVerification : public VerificationTest {
 protected:
	static constexpr u32 kEncoding = decltype(kTscOffset)::kEncoding;

	struct Lie {
		u32 encoding;
		u64 memory;
		u64 vmcs;
		bool operator==(const Lie&) const = default;
	};

	bool verify()
	{
		return written_.verify(loaded_, [&](u32 encoding, u64 memory, u64 vmcs) {
			lies_.push_back({encoding, memory, vmcs});
		});
	}

	LastWritten<kTscOffset> written_;
	std::vector<Lie> lies_;
};

TEST_F(LastWrittenVerification, WhatIsKnownIsCompared)
{
	EXPECT_FALSE(verify());
	ASSERT_TRUE(written_.set(loaded_, u64{5}).ok());
	cpu_.clear_log();
	EXPECT_TRUE(verify());
	EXPECT_TRUE(lies_.empty());
	written_.forget();
	EXPECT_FALSE(verify());
	EXPECT_EQ(cpu_.unseen(), 1u);
	EXPECT_TRUE(cpu_.log().empty());
}

TEST_F(LastWrittenVerification, ALieIsFound)
{
	ASSERT_TRUE(written_.set(loaded_, u64{5}).ok());
	LastWrittenTestAccess::set_value(written_, u64{6});
	EXPECT_TRUE(verify());
	EXPECT_EQ(lies_, (std::vector<Lie>{{kEncoding, 6, 5}}));
	EXPECT_EQ(written_.value(), 6u);
}

TEST_F(LastWrittenVerification, AFieldThatCannotBeReadIsNotCompared)
{
	ASSERT_TRUE(written_.set(loaded_, u64{5}).ok());
	cpu_.fail_field(kEncoding, Error::kFault);
	EXPECT_FALSE(verify());
	EXPECT_TRUE(lies_.empty());
}

}  // namespace
}  // namespace vregcache::test
