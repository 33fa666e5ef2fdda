// SPDX-License-Identifier: GPL-2.0
// Exceptions that the module raises for the guest.
#include "vcpu/exception.h"

namespace {

inline void raise(Vcpu& vcpu, Event event)
{
	if (vcpu.injected.information.is_external_interrupt())
		vcpu.pending.add_interrupt(vcpu.injected.information.vector());
	else if (vcpu.injected.information.is_nmi())
		vcpu.pending.add_nmi();
	vcpu.injected = event;
	vcpu.injected.raised = true;
}

inline Result<void> set_resume_flag(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	vcpu.cache.write<Reg::kRflags>(vmcs, flags | rflags::kRf);
	return {};
}

inline Result<void> raise_fault(Vcpu& vcpu, const LoadedVmcs& vmcs, Event event)
{
	VREGCACHE_TRY(set_resume_flag(vcpu, vmcs));
	raise(vcpu, event);
	return {};
}

inline Result<void> raise_general_protection(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return raise_fault(vcpu, vmcs, Event::exception(vector::kGeneralProtection, 0));
}

inline Result<void> raise_invalid_opcode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return raise_fault(vcpu, vmcs, Event::exception(vector::kInvalidOpcode));
}

inline Result<void> raise_debug(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 dr6_bits)
{
	// Delivery clears general detect, so that the handler can access the debug registers (SDM Vol. 3B, 18.2.4).
	u64 dr7 = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	vcpu.cache.write<Reg::kDr7>(vmcs, dr7 & ~dr7::kGeneralDetect);
	// It also disables branch traps and branch recording (SDM Vol. 3B, 18.4.1).
	u64 control = VREGCACHE_TRY(vcpu.cache.read<Reg::kDebugctl>(vmcs));
	vcpu.cache.write<Reg::kDebugctl>(vmcs, control & ~(debugctl::kLbr | debugctl::kBtf));
	vcpu.entry_switch.dr6 = (vcpu.entry_switch.dr6 & ~dr6::kBreakpoints) | dr6_bits;
	raise(vcpu, Event::exception(vector::kDebug));
	return {};
}

}  // namespace
