// SPDX-License-Identifier: GPL-2.0
// State that VM-entry checks tie together, made consistent.
#include "vcpu/consistency.h"
#include "vcpu/control_register.h"
#include "vcpu/cpuid.h"
#include "vcpu/instruction.h"

namespace {

// RFLAGS, interruptibility, pending debug exceptions and IA32_DEBUGCTL (SDM Vol. 3C, 27.3.1.4 and 27.3.1.5).  The CPU leaves
// them consistent, except for an exit on a debug exception, which leaves no single step pending; values set by userspace or
// the module may be inconsistent.
inline Result<void> reconcile_flags(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	constexpr vregcache::RegSet kTied(Reg::kRflags, Reg::kInterruptibility, Reg::kPendingDebugExceptions,
					  Reg::kDebugctl);
	if ((vcpu.cache.dirty() & kTied).empty() && !vcpu.injected.is_debug_exception())
		return {};
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	if (!(blocking & (kBlockingBySti | kBlockingByMovSs)))
		return {};
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	if (!(flags & rflags::kIf))
		blocking &= ~kBlockingBySti;
	// Blocking by MOV SS is the stronger of the two.
	if (blocking & kBlockingByMovSs)
		blocking &= ~kBlockingBySti;
	vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking);
	// While either blocks, a single step that is due must be pending.
	constexpr u64 kSingleStep = 1u << 14;
	u64 pending = VREGCACHE_TRY(vcpu.cache.read<Reg::kPendingDebugExceptions>(vmcs));
	if (blocking & (kBlockingBySti | kBlockingByMovSs)) {
		bool due = VREGCACHE_TRY(traps_each_instruction(vcpu, vmcs, flags));
		pending = due ? pending | kSingleStep : pending & ~kSingleStep;
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

// ---- state that userspace sets with several ioctls, in any order, and that VM-entry does not check ----

constexpr u64 kInvalidGuestState = kEntryFailure | static_cast<u32>(ExitReason::kInvalidGuestState);

inline void report_failed_entry(Vcpu& vcpu, u64 reason)
{
	vcpu.run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu.run->fail_entry.hardware_entry_failure_reason = reason;
	vcpu.run->fail_entry.cpu = vrc_host_cpu();
}

// Does the guest's CPU have the bits that are set in its registers?
inline Result<bool> fits_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	const struct {
		const char* name;
		u64 value, allowed;
	} registers[] = {
		{"CR4", VREGCACHE_TRY(guest_cr4(vcpu, vmcs)), vcpu.model.cr4},
		{"IA32_EFER", VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs)), vcpu.model.efer},
		{"XCR0", vcpu.entry.xcr0, vcpu.model.xcr0},
		{"CR3", VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs)), vcpu.model.cr3},
	};
	for (const auto& it : registers) {
		if (it.value & ~it.allowed) {
			vrc_host_error(
				"vCPU %u: KVM_RUN refused: guest %s is %#llx, but its CPUID allows only %#llx; set "
				"the register or the CPUID again",
				vcpu.id, it.name, it.value, it.allowed);
			return false;
		}
	}
	return true;
}

inline Result<bool> load_missing_pdptes(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 cr3 = VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs));
	if (VREGCACHE_TRY(load_pdptes(vcpu, vmcs, cr3)))
		return true;
	vrc_host_error("vCPU %u: KVM_RUN refused: SDM Vol. 3C, 27.3.1.6: a PDPTE at guest CR3 %#llx has a reserved bit "
		       "set, or is outside of all memory slots",
		       vcpu.id, cr3);
	return false;
}

[[maybe_unused]] VREGCACHE_COLD Result<bool> judge_what_was_set(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if ((vcpu.due & Vcpu::kNewCpuid) && !VREGCACHE_TRY(fits_cpuid(vcpu, vmcs))) {
		report_failed_entry(vcpu, kInvalidGuestState);
		return false;
	}
	vcpu.due &= ~Vcpu::kNewCpuid;
	if ((vcpu.due & Vcpu::kPdptesNotLoaded) && !VREGCACHE_TRY(load_missing_pdptes(vcpu, vmcs))) {
		report_failed_entry(vcpu, kInvalidGuestState);
		return false;
	}
	return true;
}

}  // namespace
