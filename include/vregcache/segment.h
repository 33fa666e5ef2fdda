// SPDX-License-Identifier: GPL-2.0 OR MIT
// A segment register as a whole.  Its four parts are cached one by one: a caller that needs CS.D reads access rights only.
#pragma once

#include "register.h"
#include "result.h"
#include "vmx_layout.h"

namespace vregcache {

struct SegmentState {
	u64 base = 0;
	u32 limit = 0;
	u32 access_rights = 0;
	u16 selector = 0;

	bool operator==(const SegmentState&) const = default;
};

// Access rights as the VMCS has them (SDM Vol. 3C, 25.4.1): bits 15:0 as in a descriptor's second word from bit 8 on,
// and bit 16 set when the register is unusable.
namespace access_rights {
constexpr u32 kTypeMask = 0xf;
constexpr u32 kCodeOrData = 1u << 4;
constexpr u32 kDplShift = 5;
constexpr u32 kDplMask = 3u << kDplShift;
constexpr u32 kPresent = 1u << 7;
constexpr u32 kAvailable = 1u << 12;
constexpr u32 kLong = 1u << 13;
constexpr u32 kDefaultBig = 1u << 14;
constexpr u32 kGranularity = 1u << 15;
constexpr u32 kUnusable = 1u << 16;
}  // namespace access_rights

// Errors: as Cache::read().
template <class Cache>
Result<SegmentState> read_segment(Cache& cache, const typename Cache::Loaded& vmcs, Segment segment)
{
	auto part = [&](SegmentPart which) { return cache.read(vmcs, segment_register(segment, which)); };
	SegmentState state;
	state.base = VREGCACHE_TRY(part(SegmentPart::kBase));
	state.limit = static_cast<u32>(VREGCACHE_TRY(part(SegmentPart::kLimit)));
	state.access_rights = static_cast<u32>(VREGCACHE_TRY(part(SegmentPart::kAccessRights)));
	state.selector = static_cast<u16>(VREGCACHE_TRY(part(SegmentPart::kSelector)));
	return state;
}

// Errors: none for these registers; the VMCS gets them at write-back.
template <class Cache>
Result<void> write_segment(Cache& cache, const typename Cache::Loaded& vmcs, Segment segment, const SegmentState& state)
{
	auto set = [&](SegmentPart which, u64 value) {
		return cache.write(vmcs, segment_register(segment, which), value);
	};
	VREGCACHE_TRY(set(SegmentPart::kBase, state.base));
	VREGCACHE_TRY(set(SegmentPart::kLimit, state.limit));
	VREGCACHE_TRY(set(SegmentPart::kAccessRights, state.access_rights));
	return set(SegmentPart::kSelector, state.selector);
}

}  // namespace vregcache
