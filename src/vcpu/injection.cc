// SPDX-License-Identifier: GPL-2.0
// Which external event the next VM-entry delivers.
#include "vcpu/injection.h"

namespace {

inline Result<bool> can_take_interrupt(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	if (!(VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kIf))
		return false;
	return !(VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs)) & kInterruptShadow);
}

// The same for an NMI.  Whether STI blocks NMIs is up to the CPU, so it is assumed to.
inline Result<bool> can_take_nmi(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	return !(VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs)) & (kInterruptShadow | kBlockingByNmi));
}

inline PendingInterrupt pending_interrupt(const Vcpu& vcpu)
{
	if (vcpu.pending.interrupt)
		return {true, vcpu.pending.vector};
	if (vcpu.injected.information.is_external_interrupt())
		return {true, vcpu.injected.information.vector()};
	return {};
}

inline void set_pending_interrupt(Vcpu& vcpu, u8 number)
{
	if (vcpu.injected.information.is_external_interrupt())
		vcpu.injected = {};
	vcpu.pending.add_interrupt(number);
}

VREGCACHE_OUT_OF_LINE Result<bool> pending_event_is_due(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (vcpu.pending.nmis && VREGCACHE_TRY(can_take_nmi(vcpu, vmcs)))
		return true;
	if (vcpu.pending.interrupt)
		return can_take_interrupt(vcpu, vmcs);
	return false;
}

inline Result<void> set_window_exiting(Vcpu& vcpu, const LoadedVmcs& vmcs, u32 windows)
{
	return vcpu.controls.primary.set(vmcs, (vcpu.controls.primary.value() & ~kWindows) | windows);
}

// The control for an exit as soon as an NMI can be delivered.  During blocking by STI, a CPU need not hold NMI-window exits
// back, and would exit forever; interrupts are enabled after STI, so the interrupt window opens when the blocking ends.
inline Result<u32> nmi_window_control(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	bool sti = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs)) & interruptibility::kBlockingBySti;
	return sti ? primary::kInterruptWindow : primary::kNmiWindow;
}

// An interrupt or NMI whose delivery began earlier was deliverable then; userspace may have changed the state since.
inline Result<void> hold_back_event(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	const InterruptionInformation what = vcpu.injected.information;
	if (what.is_external_interrupt() && !VREGCACHE_TRY(can_take_interrupt(vcpu, vmcs))) {
		vcpu.pending.add_interrupt(what.vector());
		vcpu.injected = {};
	} else if (what.is_nmi() && !VREGCACHE_TRY(can_take_nmi(vcpu, vmcs))) {
		vcpu.pending.add_nmi();
		vcpu.injected = {};
	}
	return {};
}

inline Result<void> choose_event(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	bool requested = userspace_wants_interrupt_window(vcpu);
	if (vcpu.injected.valid())
		VREGCACHE_TRY(hold_back_event(vcpu, vmcs));
	if (!requested && !vcpu.pending.any())
		return set_window_exiting(vcpu, vmcs, 0);

	u32 windows = 0;
	if (vcpu.pending.nmis) {
		if (!vcpu.injected.valid() && VREGCACHE_TRY(can_take_nmi(vcpu, vmcs))) {
			vcpu.injected = Event::nmi();
			vcpu.pending.nmis--;
		}
		if (vcpu.pending.nmis)
			windows |= VREGCACHE_TRY(nmi_window_control(vcpu, vmcs));
	}
	if (vcpu.pending.interrupt && !vcpu.injected.valid() && VREGCACHE_TRY(can_take_interrupt(vcpu, vmcs))) {
		vcpu.injected = Event::external_interrupt(vcpu.pending.vector);
		vcpu.pending.interrupt = false;
	}
	if (vcpu.pending.interrupt || requested)
		windows |= primary::kInterruptWindow;
	return set_window_exiting(vcpu, vmcs, windows);
}

}  // namespace
