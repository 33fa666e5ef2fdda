// SPDX-License-Identifier: GPL-2.0
// Checks that the names of linux/names.h match the C++ constants.
#include <vregcache/hooks.h>
#include <vregcache/vmx_layout.h>

#include "linux/names.h"

namespace {

consteval bool groups_agree()
{
	using vregcache::Reg;
	using vregcache::Segment;
	using vregcache::segment_register;
	using vregcache::SegmentPart;
	auto lower = [](vregcache::RegSet set) { return set.bits(); };
	auto segments = [](Segment first, Segment last) {
		Reg from = segment_register(first, SegmentPart::kSelector);
		return vregcache::RegSet::range(from, segment_register(last, SegmentPart::kAccessRights)).bits() >> 32;
	};
	auto segment = [segments](Segment which) { return segments(which, which); };
	const unsigned long long groups[] = {
		lower(vregcache::VmxLayout::exit_information()),
		lower(vregcache::RegSet::range(Reg::kPdpte0, Reg::kPdpte3)),
		segments(Segment::kEs, Segment::kTr),
		segment(Segment::kEs),
		segment(Segment::kCs),
		segment(Segment::kSs),
		segment(Segment::kDs),
		segment(Segment::kFs),
		segment(Segment::kGs),
		segment(Segment::kLdtr),
		segment(Segment::kTr),
	};
#define VRC_MASK(mask, name) mask
	constexpr unsigned long long kNamed[] = {VRC_LOWER_GROUPS(VRC_MASK), VRC_SEGMENT_GROUPS(VRC_MASK)};
#undef VRC_MASK
	static_assert(sizeof(groups) == sizeof(kNamed));
	for (unsigned i = 0; i < sizeof(kNamed) / sizeof(kNamed[0]); i++) {
		if (groups[i] != kNamed[i])
			return false;
	}
	return true;
}

static_assert(groups_agree(), "the groups of linux/names.h are not those of the cache");

#define VRC_IS_FOUND_AT(number, name, constant) vregcache::FoundAt{number} == vregcache::FoundAt::constant
#define VRC_IS_OPERATION(number, name, constant) vregcache::Operation{number} == vregcache::Operation::constant
constexpr bool kSameNumbers[] = {VRC_FOUND_AT(VRC_IS_FOUND_AT), VRC_OPERATIONS(VRC_IS_OPERATION)};
#undef VRC_IS_FOUND_AT
#undef VRC_IS_OPERATION

consteval bool every_number_is_the_same()
{
	for (bool same : kSameNumbers) {
		if (!same)
			return false;
	}
	return true;
}

static_assert(every_number_is_the_same(), "linux/names.h and the cache use different numbers");

}  // namespace
