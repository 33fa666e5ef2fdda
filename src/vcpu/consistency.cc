// SPDX-License-Identifier: GPL-2.0
// State that VM-entry checks tie together, made consistent.
#include "vcpu/consistency.h"
#include "vcpu/instruction.h"

namespace {

constexpr vregcache::RegSet kTiedToFlags(Reg::kRflags, Reg::kInterruptibility, Reg::kPendingDebugExceptions,
					 Reg::kDebugctl);
constexpr vregcache::RegSet kTied = kTiedToFlags | vregcache::RegSet(Reg::kEfer);

// RFLAGS, interruptibility, pending debug exceptions and IA32_DEBUGCTL (SDM Vol. 3C, 27.3.1.4 and 27.3.1.5).  The CPU leaves
// them consistent, except for an exit on a debug exception, which leaves no single step pending; values set by userspace or
// the module may be inconsistent.
inline Result<void> reconcile_flags(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	if ((vcpu.cache.dirty() & kTiedToFlags).empty() && !vcpu.injected.is_debug_exception())
		return {};
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	if (!(blocking & kInterruptShadow))
		return {};
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	if (!(flags & rflags::kIf))
		blocking &= ~kBlockingBySti;
	// Blocking by MOV SS is the stronger of the two.
	if (blocking & kBlockingByMovSs)
		blocking &= ~kBlockingBySti;
	vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking);
	// While either blocks, a single step that is due must be pending.
	u64 pending = VREGCACHE_TRY(vcpu.cache.read<Reg::kPendingDebugExceptions>(vmcs));
	if (blocking & kInterruptShadow) {
		bool due = VREGCACHE_TRY(traps_each_instruction(vcpu, vmcs, flags));
		pending = due ? pending | pending_debug::kSingleStep : pending & ~pending_debug::kSingleStep;
	}
	vcpu.cache.write<Reg::kPendingDebugExceptions>(vmcs, pending);
	return {};
}

// The "IA-32e mode guest" control must equal EFER.LMA (SDM Vol. 3C, 27.3.1.1 and 27.3.1.5).
inline Result<void> reconcile_long_mode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	bool on = VREGCACHE_TRY(in_long_mode(vcpu, vmcs));
	u32 others = g_vmx.controls.vm_entry;
	return vcpu.controls.vm_entry.set(vmcs, on ? others | entry_control::kIa32eMode : others);
}

VREGCACHE_COLD Result<void> reconcile_what_changed(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(reconcile_flags(vcpu, vmcs));
	VREGCACHE_TRY(choose_event(vcpu, vmcs));
	if (vcpu.cache.dirty().contains(Reg::kEfer))
		VREGCACHE_TRY(reconcile_long_mode(vcpu, vmcs));
	return {};
}

// The activity state needs no check: HLT exits, so a guest is active at each VM-exit, and no code sets another.
inline Result<void> reconcile(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	bool registers = !(vcpu.cache.dirty() & kTied).empty();
	bool events = vcpu.injected.valid() || vcpu.pending.any() || userspace_wants_interrupt_window(vcpu) ||
		      (vcpu.controls.primary.value() & kWindows);
	if (!registers && !events) [[likely]]
		return {};
	return reconcile_what_changed(vcpu, vmcs);
}

}  // namespace
