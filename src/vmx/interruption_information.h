// SPDX-License-Identifier: GPL-2.0
// Interruption information: the event that VM-entry injects, that caused a VM-exit, or whose delivery a VM-exit interrupted.
#pragma once

#include "vmx/types.h"

namespace {

// The format that VM-entry, VM-exit and IDT-vectoring interruption information share (SDM Vol. 3C, tables 25-16 to 25-20).
enum class InterruptionType : u8 {
	kExternalInterrupt = 0,
	kReserved = 1,
	kNmi = 2,
	kHardwareException = 3,
	kSoftwareInterrupt = 4,
	kPrivilegedSoftwareException = 5,
	kSoftwareException = 6,
	kOtherEvent = 7,
};

struct InterruptionInformation {
	static constexpr u32 kErrorCodeValid = 1u << 11;
	static constexpr u32 kNmiUnblockedByIret = 1u << 12;
	static constexpr u32 kReservedAtEntry = 0x7ffff000;
	static constexpr u32 kValid = 1u << 31;

	u32 word = 0;

	// noinstr code (vcpu/transition.cc) uses those that are always inlined.
	[[gnu::always_inline]] bool valid() const { return word & kValid; }
	u8 vector() const { return word & 0xff; }
	[[gnu::always_inline]] InterruptionType type() const { return static_cast<InterruptionType>(word >> 8 & 7); }
	bool has_error_code() const { return word & kErrorCodeValid; }
	[[gnu::always_inline]] bool is(InterruptionType wanted) const { return valid() && type() == wanted; }
	[[gnu::always_inline]] bool is_nmi() const { return is(InterruptionType::kNmi); }
	bool is_external_interrupt() const { return is(InterruptionType::kExternalInterrupt); }
	// Delivery skips the instruction that raised it, so VM-entry needs its length.
	bool is_software() const
	{
		return static_cast<u8>(type()) >= static_cast<u8>(InterruptionType::kSoftwareInterrupt);
	}
};

}  // namespace
