// SPDX-License-Identifier: GPL-2.0
// The fields as types: width, kind and value type of each match the SDM, and no two are the same field.

#include <gtest/gtest.h>
#include <vregcache/access.h>
#include <vregcache/vmcs_fields.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "model_vmcs.h"
#include "recorder.h"

namespace vregcache::test {
namespace {

// A field of the library as a value, so that a table can hold it.
struct LibraryField {
	std::string name;
	u32 encoding;
	FieldWidth width;
	FieldKind kind;
	bool writable;
	u32 value_bits;
	bool value_is_unsigned;
};

template <class F>
LibraryField describe(const char* name, F)
{
	using Value = typename F::Value;
	return {name, F::kEncoding, F::kWidth, F::kKind, F::kWritable, 8 * sizeof(Value), std::is_unsigned_v<Value>};
}

// clang-format off
#define FIELD(name) describe(#name, vregcache::name)
const std::vector<LibraryField> kLibraryFields = {
	FIELD(kVirtualProcessorId), FIELD(kGuestEsSelector), FIELD(kGuestCsSelector), FIELD(kGuestSsSelector),
	FIELD(kGuestDsSelector), FIELD(kGuestFsSelector), FIELD(kGuestGsSelector), FIELD(kGuestLdtrSelector),
	FIELD(kGuestTrSelector), FIELD(kHostEsSelector), FIELD(kHostCsSelector), FIELD(kHostSsSelector),
	FIELD(kHostDsSelector), FIELD(kHostFsSelector), FIELD(kHostGsSelector), FIELD(kHostTrSelector),
	FIELD(kIoBitmapA), FIELD(kIoBitmapB), FIELD(kMsrBitmaps), FIELD(kVmExitMsrStoreAddress),
	FIELD(kVmExitMsrLoadAddress), FIELD(kVmEntryMsrLoadAddress), FIELD(kTscOffset), FIELD(kEptPointer),
	FIELD(kEnclsExitingBitmap),
	FIELD(kGuestPhysicalAddress), FIELD(kVmcsLinkPointer), FIELD(kGuestIa32Debugctl),
	FIELD(kGuestIa32Pat), FIELD(kGuestIa32Efer), FIELD(kGuestPdpte0), FIELD(kGuestPdpte1), FIELD(kGuestPdpte2),
	FIELD(kGuestPdpte3), FIELD(kHostIa32Pat), FIELD(kHostIa32Efer), FIELD(kPinBasedControls),
	FIELD(kPrimaryProcessorBasedControls), FIELD(kExceptionBitmap), FIELD(kPageFaultErrorCodeMask),
	FIELD(kPageFaultErrorCodeMatch), FIELD(kCr3TargetCount), FIELD(kVmExitControls), FIELD(kVmExitMsrStoreCount),
	FIELD(kVmExitMsrLoadCount), FIELD(kVmEntryControls), FIELD(kVmEntryMsrLoadCount),
	FIELD(kVmEntryInterruptionInformation), FIELD(kVmEntryExceptionErrorCode), FIELD(kVmEntryInstructionLength),
	FIELD(kSecondaryProcessorBasedControls), FIELD(kVmInstructionError), FIELD(kExitReason),
	FIELD(kExitInterruptionInformation), FIELD(kExitInterruptionErrorCode), FIELD(kIdtVectoringInformation),
	FIELD(kIdtVectoringErrorCode), FIELD(kExitInstructionLength), FIELD(kExitInstructionInformation),
	FIELD(kGuestEsLimit), FIELD(kGuestCsLimit), FIELD(kGuestSsLimit), FIELD(kGuestDsLimit), FIELD(kGuestFsLimit),
	FIELD(kGuestGsLimit), FIELD(kGuestLdtrLimit), FIELD(kGuestTrLimit), FIELD(kGuestGdtrLimit),
	FIELD(kGuestIdtrLimit), FIELD(kGuestEsAccessRights), FIELD(kGuestCsAccessRights),
	FIELD(kGuestSsAccessRights), FIELD(kGuestDsAccessRights), FIELD(kGuestFsAccessRights),
	FIELD(kGuestGsAccessRights), FIELD(kGuestLdtrAccessRights), FIELD(kGuestTrAccessRights),
	FIELD(kGuestInterruptibilityState), FIELD(kGuestActivityState), FIELD(kGuestIa32SysenterCs),
	FIELD(kHostIa32SysenterCs), FIELD(kCr0GuestHostMask), FIELD(kCr4GuestHostMask), FIELD(kCr0ReadShadow),
	FIELD(kCr4ReadShadow), FIELD(kExitQualification), FIELD(kGuestLinearAddress), FIELD(kGuestCr0),
	FIELD(kGuestCr3), FIELD(kGuestCr4), FIELD(kGuestEsBase), FIELD(kGuestCsBase), FIELD(kGuestSsBase),
	FIELD(kGuestDsBase), FIELD(kGuestFsBase), FIELD(kGuestGsBase), FIELD(kGuestLdtrBase), FIELD(kGuestTrBase),
	FIELD(kGuestGdtrBase), FIELD(kGuestIdtrBase), FIELD(kGuestDr7), FIELD(kGuestRsp), FIELD(kGuestRip),
	FIELD(kGuestRflags), FIELD(kGuestPendingDebugExceptions), FIELD(kGuestIa32SysenterEsp),
	FIELD(kGuestIa32SysenterEip), FIELD(kHostCr0), FIELD(kHostCr3), FIELD(kHostCr4), FIELD(kHostFsBase),
	FIELD(kHostGsBase), FIELD(kHostTrBase), FIELD(kHostGdtrBase), FIELD(kHostIdtrBase),
	FIELD(kHostIa32SysenterEsp), FIELD(kHostIa32SysenterEip), FIELD(kHostRsp), FIELD(kHostRip),
};
// clang-format on
#undef FIELD

struct HeaderField {
	std::string name;
	u32 encoding;
};

// Parses the header's text, so that a constant missing from the table above is noticed.
std::vector<HeaderField> fields_in_header()
{
	std::ifstream header(VRC_INCLUDE_DIR "/vregcache/fields.def");
	std::vector<HeaderField> fields;
	std::string line;
	while (std::getline(header, line)) {
		char name[80];
		u32 encoding;
		if (std::sscanf(line.c_str(), "VREGCACHE_FIELD(%x, %79[A-Za-z0-9]", &encoding, name) == 2)
			fields.push_back({name, encoding});
	}
	return fields;
}

u32 bits(FieldWidth width)
{
	switch (width) {
	case FieldWidth::k16:
		return 16;
	case FieldWidth::k32:
		return 32;
	default:
		return 64;
	}
}

TEST(VmcsField, TableHasEveryFieldOfTheHeader)
{
	std::set<std::string> in_header;
	for (const HeaderField& field : fields_in_header())
		in_header.insert(field.name);
	std::set<std::string> in_table;
	for (const LibraryField& field : kLibraryFields)
		in_table.insert(field.name);
	EXPECT_FALSE(in_header.empty());
	EXPECT_EQ(in_header, in_table);
}

TEST(VmcsField, EveryEncodingIsUnique)
{
	std::set<u32> seen;
	for (const HeaderField& field : fields_in_header())
		EXPECT_TRUE(seen.insert(field.encoding).second) << field.name;
}

TEST(VmcsField, HeaderIsInTheOrderOfEncodings)
{
	EXPECT_TRUE(std::ranges::is_sorted(fields_in_header(), {}, &HeaderField::encoding));
}

TEST(VmcsField, EveryFieldIsTheOneOfTheSdm)
{
	ASSERT_EQ(kLibraryFields.size(), kSdmFields.size());
	for (const LibraryField& field : kLibraryFields) {
		SCOPED_TRACE(field.name);
		const SdmField* sdm = find_sdm_field(field.encoding);
		ASSERT_NE(sdm, nullptr);
		EXPECT_EQ(field.name, sdm->name);
		EXPECT_EQ(field.kind, sdm->kind);
		EXPECT_EQ(bits(field.width), sdm->width);
		EXPECT_EQ(field.value_bits, sdm->width);
		EXPECT_TRUE(field.value_is_unsigned);
		EXPECT_EQ(field.writable, sdm->kind != FieldKind::kExitInformation);
	}
}

TEST(VmcsField, NaturalWidthIsItsOwnWidth)
{
	EXPECT_EQ(kGuestRip.kWidth, FieldWidth::kNatural);
	EXPECT_EQ(kGuestIa32Efer.kWidth, FieldWidth::k64);
	static_assert(std::is_same_v<decltype(kGuestRip)::Value, u64>);
	static_assert(std::is_same_v<decltype(kGuestIa32Efer)::Value, u64>);
	static_assert(std::is_same_v<decltype(kGuestCsLimit)::Value, u32>);
	static_assert(std::is_same_v<decltype(kGuestCsSelector)::Value, u16>);
}

// Fields that are no register of the cache are read and written through the token.
class LoadedVmcsTest : public testing::Test {
 protected:
	LoadedVmcsTest() { cpu_.load(kVmcs); }

	static constexpr VmcsId kVmcs{0x1000};
	ModelMemory memory_;
	ModelCpu cpu_{memory_};
	LoadedVmcs<ModelAccess> loaded_{ModelAccess(cpu_), ModelAccess::Key()};
};

TEST_F(LoadedVmcsTest, ReadGivesTheFieldInItsOwnType)
{
	memory_.poke(kVmcs, 0x0000, 0xbeef);
	auto vpid = loaded_.read(kVirtualProcessorId);
	static_assert(std::is_same_v<decltype(vpid), Result<u16>>);
	ASSERT_TRUE(vpid.ok());
	EXPECT_EQ(vpid.value(), 0xbeef);
	EXPECT_EQ(cpu_.log().size(), 1u);
	EXPECT_EQ(cpu_.count(AccessKind::kVmread, 0x0000), 1u);
}

TEST_F(LoadedVmcsTest, WriteStoresTheValueOnce)
{
	ASSERT_TRUE(loaded_.write(kTscOffset, u64{0x123456789abcdef0}).ok());
	EXPECT_EQ(memory_.peek(kVmcs, 0x2010), 0x123456789abcdef0u);
	EXPECT_EQ(cpu_.log().size(), 1u);
	EXPECT_EQ(cpu_.count(AccessKind::kVmwrite, 0x2010), 1u);
}

TEST_F(LoadedVmcsTest, FailuresReachTheCaller)
{
	cpu_.fail_nth_access(1, Error::kFault);
	EXPECT_EQ(loaded_.read(kVirtualProcessorId).error(), Error::kFault);
	cpu_.fail_field(0x2010, Error::kVmFailValid);
	EXPECT_EQ(loaded_.write(kTscOffset, u64{1}).error(), Error::kVmFailValid);
	cpu_.unload();
	EXPECT_EQ(loaded_.read(kVirtualProcessorId).error(), Error::kVmFailInvalid);
}

// The model itself: one more lenient than hardware would hide errors of the library.
TEST_F(LoadedVmcsTest, ModelCutsToTheWidthOfTheField)
{
	ASSERT_TRUE(cpu_.vmwrite(0x0802, 0x12345).ok());
	EXPECT_EQ(cpu_.vmread(0x0802).value(), 0x2345u);
	ASSERT_TRUE(cpu_.vmwrite(0x4802, 0x123456789).ok());
	EXPECT_EQ(cpu_.vmread(0x4802).value(), 0x23456789u);
}

TEST_F(LoadedVmcsTest, ModelRefusesReadOnlyAndUnknownFields)
{
	u64 before = memory_.peek(kVmcs, 0x6400);
	EXPECT_EQ(cpu_.vmwrite(0x6400, 1).error(), Error::kVmFailValid);
	EXPECT_EQ(memory_.peek(kVmcs, 0x6400), before);
	EXPECT_EQ(memory_.peek(kVmcs, 0x4400), kWriteToReadOnlyComponent);
	EXPECT_EQ(cpu_.vmread(0x6ffe).error(), Error::kVmFailValid);
	EXPECT_EQ(memory_.peek(kVmcs, 0x4400), kUnsupportedComponent);
}

}  // namespace
}  // namespace vregcache::test
