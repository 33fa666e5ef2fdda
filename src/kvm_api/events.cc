// SPDX-License-Identifier: GPL-2.0
// KVM_INTERRUPT, KVM_NMI, KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS.
#include "kvm_api/in_window.h"
#include "kvm_api/ioctls.h"
#include "vcpu/injection.h"

namespace {

inline long add_interrupt(Vcpu& vcpu, unsigned long argument)
{
	kvm_interrupt interrupt;
	if (int error = copy_from_user(interrupt, argument))
		return error;
	if (interrupt.irq > 0xff)
		return -EINVAL;
	if (pending_interrupt(vcpu).valid)
		return -EEXIST;
	vcpu.pending.add_interrupt(static_cast<u8>(interrupt.irq));
	return 0;
}

inline long add_nmi(Vcpu& vcpu, unsigned long argument)
{
	if (argument)
		return -EINVAL;
	return in_window(vcpu, [&vcpu](const LoadedVmcs& vmcs) -> Result<long> {
		u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
		vcpu.pending.add_nmi(vcpu.injected.information.is_nmi() ||
				     (blocking & interruptibility::kBlockingByNmi));
		return 0L;
	});
}

inline Result<void> get_vcpu_events(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_vcpu_events& events)
{
	using namespace interruptibility;
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	const InterruptionInformation what = vcpu.injected.information;
	if (what.valid() && what.type() == InterruptionType::kHardwareException) {
		events.exception.injected = 1;
		events.exception.nr = what.vector();
		events.exception.has_error_code = what.has_error_code();
		events.exception.error_code = vcpu.injected.error_code;
	}
	const PendingInterrupt interrupt = pending_interrupt(vcpu);
	events.interrupt.injected = interrupt.valid;
	events.interrupt.nr = interrupt.vector;
	events.interrupt.shadow = blocking & kBlockingByMovSs ? KVM_X86_SHADOW_INT_MOV_SS
				  : blocking & kBlockingBySti ? KVM_X86_SHADOW_INT_STI
							      : 0;
	events.nmi.injected = what.is_nmi();
	events.nmi.pending = vcpu.pending.nmis;
	events.nmi.masked = (blocking & kBlockingByNmi) != 0;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	return {};
}

// Could the guest have these events?  A refusal here changes nothing.
inline bool are_valid(const kvm_vcpu_events& events)
{
	constexpr u32 kKnown = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW;
	if (events.flags & ~kKnown)
		return false;
	constexpr u8 kShadows = KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI;
	if ((events.flags & KVM_VCPUEVENT_VALID_SHADOW) && (events.interrupt.shadow & ~kShadows))
		return false;
	if (!events.exception.injected)
		return true;
	if (events.exception.nr > 31 || events.exception.nr == vector::kNmi)
		return false;
	return !events.exception.has_error_code ||
	       (has_error_code(events.exception.nr) && !(events.exception.error_code >> 16));
}

inline Result<long> set_vcpu_events(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_vcpu_events& events)
{
	using namespace interruptibility;
	if (!are_valid(events))
		return long{-EINVAL};

	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs)) & ~kBlockingByNmi;
	if (events.nmi.masked)
		blocking |= kBlockingByNmi;
	if (events.flags & KVM_VCPUEVENT_VALID_SHADOW) {
		blocking &= ~kInterruptShadow;
		if (events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS)
			blocking |= kBlockingByMovSs;
		else if (events.interrupt.shadow & KVM_X86_SHADOW_INT_STI)
			blocking |= kBlockingBySti;
	}
	vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking);

	vcpu.injected = {};
	if (events.exception.injected && events.exception.has_error_code)
		vcpu.injected = Event::exception(events.exception.nr, events.exception.error_code);
	else if (events.exception.injected)
		vcpu.injected = Event::exception(events.exception.nr);
	// An interrupt or NMI that was being injected waits again: the next VM-entry delivers it, or else the exception.
	u32 nmis = events.flags & KVM_VCPUEVENT_VALID_NMI_PENDING ? events.nmi.pending : vcpu.pending.nmis;
	vcpu.pending = {};
	if (events.interrupt.injected && !events.interrupt.soft)
		vcpu.pending.add_interrupt(events.interrupt.nr);
	for (u32 left = nmis + (events.nmi.injected ? 1 : 0); left; left--)
		vcpu.pending.add_nmi();
	return 0L;
}

}  // namespace
