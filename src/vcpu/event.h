// SPDX-License-Identifier: GPL-2.0
// An event for the guest: an exception, interrupt or NMI that the next VM-entry delivers (SDM Vol. 3C, 27.6).
#pragma once

#include "vmx/architecture.h"
#include "vmx/interruption_information.h"
#include "vmx/last_written_fields.h"
#include "vmx/raw_vmx.h"

namespace {

struct Event {
	InterruptionInformation information;
	u32 error_code = 0;
	u32 instruction_length = 0;
	bool raised = false;  // by the module, and no VM-entry has delivered any of it: KVM's exception.pending

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
	Result<void> inject(const PinnedVmcs& vmcs, ControlFields& controls, bool protected_mode) const;

	// VM-entry failed, and has not cleared the event in the VMCS as a VM-exit would.
	static Result<void> take_back(const PinnedVmcs& vmcs);
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
