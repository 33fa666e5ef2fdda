// SPDX-License-Identifier: GPL-2.0
// An event for the guest: an exception, interrupt or NMI that the next VM-entry delivers (SDM Vol. 3C, 27.6).
#pragma once

#include <vregcache/vmcs_fields.h>

#include "../vmx/raw_vmx.h"
#include "../vmx/architecture.h"

namespace {

// The format that VM-entry, VM-exit and IDT-vectoring interruption information share (SDM Vol. 3C, tables 25-16 to 25-20).
enum class InterruptionType : u8 {
	kExternalInterrupt = 0,
	kNmi = 2,
	kHardwareException = 3,
	kSoftwareInterrupt = 4,
	kPrivilegedSoftwareException = 5,
	kSoftwareException = 6,
};

struct InterruptionInformation {
	static constexpr u32 kErrorCodeValid = 1u << 11;
	static constexpr u32 kNmiUnblockedByIret = 1u << 12;
	static constexpr u32 kValid = 1u << 31;

	u32 word = 0;

	bool valid() const { return word & kValid; }
	u8 vector() const { return word & 0xff; }
	InterruptionType type() const { return static_cast<InterruptionType>(word >> 8 & 7); }
	bool has_error_code() const { return word & kErrorCodeValid; }
	bool is_nmi() const { return valid() && type() == InterruptionType::kNmi; }
	bool is_exception() const { return type() == InterruptionType::kHardwareException || type() == InterruptionType::kSoftwareException; }
	// The instruction that raised it is skipped by delivery, so VM-entry must know its length.
	bool is_software() const { return static_cast<u8>(type()) >= static_cast<u8>(InterruptionType::kSoftwareInterrupt); }
};

struct Event {
	InterruptionInformation information;
	u32 error_code = 0;
	u32 instruction_length = 0;

	bool pending() const { return information.valid(); }

	static Event exception(u8 vector)
	{
		Event event;
		event.information.word = InterruptionInformation::kValid | u32{vector} |
					 static_cast<u32>(InterruptionType::kHardwareException) << 8;
		return event;
	}

	static Event exception(u8 vector, u32 error_code)
	{
		Event event = exception(vector);
		event.information.word |= InterruptionInformation::kErrorCodeValid;
		event.error_code = error_code;
		return event;
	}

	// Hands the event to the next VM-entry.  In real mode exceptions have no error code, and VM-entry insists
	// (SDM Vol. 3C, 27.2.1.3).
	Result<void> inject(const PinnedVmcs& vmcs, bool protected_mode) const
	{
		u32 word = information.word;
		if (!protected_mode)
			word &= ~InterruptionInformation::kErrorCodeValid;
		if (word & InterruptionInformation::kErrorCodeValid)
			VREGCACHE_TRY(vmcs.write(vregcache::kVmEntryExceptionErrorCode, error_code));
		if (information.is_software())
			VREGCACHE_TRY(vmcs.write(vregcache::kVmEntryInstructionLength, instruction_length));
		// Bit 12 says something else in IDT-vectoring information, and must be clear here.
		return vmcs.write(vregcache::kVmEntryInterruptionInformation,
				  word & ~InterruptionInformation::kNmiUnblockedByIret);
	}

	// VM-entry failed, and has not taken the event out of the VMCS as a VM-exit would.
	static Result<void> take_back(const PinnedVmcs& vmcs)
	{
		return vmcs.write(vregcache::kVmEntryInterruptionInformation, u32{0});
	}
};

}  // namespace
