// SPDX-License-Identifier: GPL-2.0
// A cache on a model CPU, bound to the current VMCS.
#pragma once

#include <gtest/gtest.h>
#include <vregcache/cache.h>
#include <vregcache/vmx_layout.h>

#include <vector>

#include "model_vmcs.h"
#include "recorder.h"
#include "sdm_registers.h"

namespace vregcache::test {

constexpr VmcsId kVmcsA{0xa000};
constexpr VmcsId kVmcsB{0xb000};

using TestCache = Cache<ModelAccess, RecordingHooks>;
using Loaded = LoadedVmcs<ModelAccess>;
using Pinned = PinnedVmcs<ModelAccess>;

class CacheFixture : public testing::Test {
 protected:
	CacheFixture()
	{
		cpu_.load(kVmcsA);
		EXPECT_TRUE(cache_.bind(loaded_, kVmcsA).ok());
		forget_records();
	}

	void forget_records()
	{
		cpu_.clear_log();
		cache_.hooks().context.clear();
		cache_.hooks().observer.clear();
	}

	u64 field(Reg reg, VmcsId vmcs = kVmcsA) { return memory_.peek(vmcs, encoding_of(reg)); }

	// Differs from the field's value and fits into its width.
	u64 other_value(Reg reg) { return field(reg) ^ (0x5a5a5a5a5a5a5a5a & mask_of(reg)); }

	void read_all_registers()
	{
		for (const SdmRegister& entry : kSdmRegisters)
			ASSERT_TRUE(cache_.read(loaded_, entry.reg).ok());
	}

	void write_all_writable_registers()
	{
		for (const SdmRegister& entry : kSdmRegisters) {
			if (is_writable(entry.reg)) {
				ASSERT_TRUE(cache_.write(loaded_, entry.reg, other_value(entry.reg)).ok());
			}
		}
	}

	std::vector<FieldAccess> one_vmread(Reg reg)
	{
		return {{AccessKind::kVmread, kVmcsA, encoding_of(reg), field(reg), Error::kNone}};
	}

	static RegSet writable_registers()
	{
		return registers_changed_by(ChangedBy::kGuest) | registers_changed_by(ChangedBy::kHost);
	}

	ModelMemory memory_;
	ModelCpu cpu_{memory_};
	Loaded loaded_{ModelAccess(cpu_), ModelAccess::Key()};
	Pinned pinned_{ModelAccess(cpu_), ModelAccess::Key()};
	TestCache cache_;
};

}  // namespace vregcache::test
