// SPDX-License-Identifier: GPL-2.0
// Each register's field, and the registers that a VM-exit makes unavailable.

#include <gtest/gtest.h>
#include <vregcache/vmx_layout.h>

#include <set>

#include "recorder.h"
#include "sdm_registers.h"
#include "typed_registers.h"

namespace vregcache::test {
namespace {

TEST(VmxLayout, EveryRegisterIsTheFieldOfTheSdm)
{
	for (const SdmRegister& entry : kSdmRegisters)
		EXPECT_EQ(VmxLayout::encoding(entry.reg), entry.encoding) << testing::PrintToString(entry.reg);
}

TEST(VmxLayout, CachesTheFieldsOfRegistersAndNoOther)
{
	static_assert(!VmxLayout::caches(0));
	static_assert(VmxLayout::caches(0x2802));
	static_assert(!VmxLayout::caches(0x2804));
	static_assert(VmxLayout::caches(0x0800));
	static_assert(!VmxLayout::caches(0x6c16));
}

TEST(VmxLayout, NoTwoRegistersAreTheSameField)
{
	std::set<u32> seen;
	for (const SdmRegister& entry : kSdmRegisters)
		EXPECT_TRUE(seen.insert(VmxLayout::encoding(entry.reg)).second) << testing::PrintToString(entry.reg);
}

TEST(VmxLayout, ValueTypeIsAsWideAsTheField)
{
	ASSERT_EQ(all_typed_registers().size(), kSdmRegisters.size());
	for (const TypedRegister& typed : all_typed_registers()) {
		u32 width = find_sdm_field(encoding_of(typed.reg))->width;
		EXPECT_EQ(typed.value_bits, width) << testing::PrintToString(typed.reg);
		EXPECT_EQ(typed.write != nullptr, is_writable(typed.reg)) << testing::PrintToString(typed.reg);
	}
}

TEST(VmxLayout, ExitInformationIsReadOnlyAndNothingElseIs)
{
	for (const SdmRegister& entry : kSdmRegisters) {
		bool is_exit_information = entry.changed_by == ChangedBy::kVmExit;
		EXPECT_EQ(VmxLayout::writable(entry.reg), !is_exit_information) << testing::PrintToString(entry.reg);
	}
	EXPECT_EQ(VmxLayout::exit_information(), registers_changed_by(ChangedBy::kVmExit));
}

TEST(VmxLayout, HostOwnedIsWhatOnlyTheHostChanges)
{
	EXPECT_EQ(VmxLayout::host_owned(), registers_changed_by(ChangedBy::kHost));
}

TEST(VmxLayout, LazySetIsExactlyWhatAVmExitMayHaveChanged)
{
	RegSet expected = registers_changed_by(ChangedBy::kGuest) | registers_changed_by(ChangedBy::kVmExit);
	EXPECT_EQ(VmxLayout::lazy(), expected);
	EXPECT_EQ(VmxLayout::lazy().size(), kSdmRegisters.size() - 3);
}

}  // namespace
}  // namespace vregcache::test
