// SPDX-License-Identifier: GPL-2.0
// An event for the guest: an exception, interrupt or NMI that the next VM-entry delivers (SDM Vol. 3C, 27.6).
#pragma once

#include <vregcache/vmcs_fields.h>

#include "vmx/raw_vmx.h"
#include "vmx/last_written_fields.h"
#include "vmx/architecture.h"

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
	bool is_external_interrupt() const { return valid() && type() == InterruptionType::kExternalInterrupt; }
	// Raised by an instruction or a breakpoint; not INT n, an interrupt or an NMI.
	bool is_exception() const
	{
		return valid() && (type() == InterruptionType::kHardwareException ||
				   type() == InterruptionType::kSoftwareException ||
				   type() == InterruptionType::kPrivilegedSoftwareException);
	}
	// Delivery skips the instruction that raised it, so VM-entry needs its length.
	bool is_software() const
	{
		return static_cast<u8>(type()) >= static_cast<u8>(InterruptionType::kSoftwareInterrupt);
	}
};

struct Event {
	InterruptionInformation information;
	u32 error_code = 0;
	u32 instruction_length = 0;

	bool valid() const { return information.valid(); }
	bool is_debug_exception() const
	{
		return valid() && information.type() == InterruptionType::kHardwareException &&
		       information.vector() == vector::kDebug;
	}

	static Event of(InterruptionType type, u8 vector)
	{
		Event event;
		event.information.word = InterruptionInformation::kValid | static_cast<u32>(type) << 8 | u32{vector};
		return event;
	}

	static Event external_interrupt(u8 vector) { return of(InterruptionType::kExternalInterrupt, vector); }
	static Event nmi() { return of(InterruptionType::kNmi, vector::kNmi); }
	static Event exception(u8 vector) { return of(InterruptionType::kHardwareException, vector); }

	static Event exception(u8 vector, u32 error_code)
	{
		Event event = exception(vector);
		event.information.word |= InterruptionInformation::kErrorCodeValid;
		event.error_code = error_code;
		return event;
	}

	// Hands the event to the next VM-entry.  The vector decides whether an exception has an error code, and in real
	// mode none has; VM-entry checks this (SDM Vol. 3C, 27.2.1.3).
	Result<void> inject(const PinnedVmcs& vmcs, ControlFields& controls, bool protected_mode) const
	{
		u32 word = information.word;
		word &= ~InterruptionInformation::kErrorCodeValid;
		if (protected_mode && information.type() == InterruptionType::kHardwareException &&
		    ::has_error_code(information.vector()))
			word |= InterruptionInformation::kErrorCodeValid;
		if (word & InterruptionInformation::kErrorCodeValid)
			VREGCACHE_TRY(controls.entry_error_code.set(vmcs, error_code));
		if (information.is_software())
			VREGCACHE_TRY(controls.entry_instruction_length.set(vmcs, instruction_length));
		// Bit 12 has another meaning in IDT-vectoring information, and must be clear here.
		return vmcs.write(vregcache::kVmEntryInterruptionInformation,
				  word & ~InterruptionInformation::kNmiUnblockedByIret);
	}

	// VM-entry failed, and has not cleared the event in the VMCS as a VM-exit would.
	static Result<void> take_back(const PinnedVmcs& vmcs)
	{
		return vmcs.write(vregcache::kVmEntryInterruptionInformation, u32{0});
	}
};

// External events, until the guest can take them.
struct PendingEvents {
	bool interrupt = false;
	u8 nmis = 0;
	u8 vector = 0;  // of the interrupt

	bool any() const { return static_cast<u8>(interrupt) | nmis; }

	void add_interrupt(u8 number)
	{
		interrupt = true;
		vector = number;
	}

	// While one NMI is being handled, or about to be, one more waits; further ones merge with it (SDM Vol. 3A, 6.7.1).
	void add_nmi(bool one_is_handled = false)
	{
		if (nmis < (one_is_handled ? 1 : 2))
			nmis++;
	}
};

}  // namespace
