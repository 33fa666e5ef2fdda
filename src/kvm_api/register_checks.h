// SPDX-License-Identifier: GPL-2.0
// Values of KVM_SET_REGS and KVM_SET_SREGS that no CPU can hold.  The checks are those of VM-entry; values that several
// ioctls set together are left to it.
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

inline bool can_hold(const Vcpu& vcpu, const kvm_regs& regs);

// The reason why no CPU can be in this state; null if one can.  can_hold_segments() checks the segments.
inline const char* find_error(const Vcpu& vcpu, const kvm_sregs& sregs);

// Logs why the ioctl is refused; returns -EINVAL.
inline int refuse(const Vcpu& vcpu, const char* ioctl, const char* why);

}  // namespace
