// SPDX-License-Identifier: GPL-2.0
// The names of glue/names.h belong to what they stand for here.
#pragma once

#include <vregcache/vmx_layout.h>

#include "../glue/names.h"

namespace {

struct RegisterName {
	vregcache::Reg reg;
	unsigned number;
	unsigned long long mask;
};

consteval bool every_register_has_its_name()
{
	using enum vregcache::Segment;
	using vregcache::Reg;
	using vregcache::Segment;
	using vregcache::segment_register;
	using vregcache::SegmentPart;
#define VRC_ROW(number, mask, name, reg) {reg, number, mask}
	constexpr RegisterName kNames[] = {VRC_REGISTERS(VRC_ROW)};
#undef VRC_ROW
	vregcache::RegSet named;
	for (const RegisterName& name : kNames) {
		if (vregcache::index(name.reg) != name.number || vregcache::RegSet(name.reg).bits() != name.mask)
			return false;
		named |= name.reg;
	}
	return named == vregcache::RegSet::all();
}

static_assert(every_register_has_its_name(), "glue/names.h and the cache do not agree");

consteval bool every_group_is_one()
{
	using vregcache::Reg;
	using vregcache::Segment;
	using vregcache::segment_register;
	using vregcache::SegmentPart;
	auto segment = [](Segment which) {
		return vregcache::RegSet::range(segment_register(which, SegmentPart::kSelector),
						segment_register(which, SegmentPart::kAccessRights))
			.bits();
	};
	const unsigned long long kGroups[] = {
		vregcache::VmxLayout::exit_information().bits(),
		vregcache::RegSet::range(Reg::kPdpte0, Reg::kPdpte3).bits(),
		vregcache::RegSet::range(Reg::kFirstSegment, static_cast<Reg>(63)).bits(),
		segment(Segment::kEs), segment(Segment::kCs), segment(Segment::kSs), segment(Segment::kDs),
		segment(Segment::kFs), segment(Segment::kGs), segment(Segment::kLdtr), segment(Segment::kTr),
	};
#define VRC_MASK(mask, name) mask
	constexpr unsigned long long kNamed[] = {VRC_REGISTER_GROUPS(VRC_MASK)};
#undef VRC_MASK
	static_assert(sizeof(kGroups) == sizeof(kNamed));
	for (unsigned i = 0; i < sizeof(kNamed) / sizeof(kNamed[0]); i++) {
		if (kGroups[i] != kNamed[i])
			return false;
	}
	return true;
}

static_assert(every_group_is_one(), "the groups of glue/names.h are not those of the cache");

}  // namespace
