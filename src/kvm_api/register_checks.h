// SPDX-License-Identifier: GPL-2.0
// Values of KVM_SET_REGS and KVM_SET_SREGS that this guest's CPU cannot hold.  The checks are those of VM-entry; values that
// several ioctls set together are left to it.
#pragma once

#include "vcpu/guest_state.h"

namespace {

struct SegmentsToSet {
	SegmentState segment[vregcache::kSegmentCount];

	SegmentState& operator[](Segment which) { return segment[static_cast<u8>(which)]; }
	const SegmentState& operator[](Segment which) const { return segment[static_cast<u8>(which)]; }
};

// False: VM-entry would fail whatever the other ioctls set.  KVM_SET_REGS sets RFLAGS.VM, so both of its values are tried.
inline bool can_hold_segments(const Vcpu& vcpu, const kvm_sregs& sregs, const SegmentsToSet& segments);

// False: this guest's CPU cannot hold one of the values; the log has it.
inline bool can_hold(const Vcpu& vcpu, const kvm_regs& regs);
inline bool can_hold(const Vcpu& vcpu, const kvm_sregs& sregs);

// The reason why no CPU can hold these values together; null if one can.  can_hold_segments() checks the segments.
inline const char* reason_to_refuse(const kvm_sregs& sregs);

}  // namespace
