// SPDX-License-Identifier: GPL-2.0
// Hands events to VM-entry.
#include "vcpu/event.h"

#include <vregcache/vmcs_fields.h>

namespace {

inline Result<void> Event::inject(const PinnedVmcs& vmcs, ControlFields& controls, bool protected_mode) const
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

inline Result<void> Event::take_back(const PinnedVmcs& vmcs)
{
	return vmcs.write(vregcache::kVmEntryInterruptionInformation, u32{0});
}

}  // namespace
