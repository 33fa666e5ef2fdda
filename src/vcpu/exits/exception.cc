// SPDX-License-Identifier: GPL-2.0
// Exceptions and NMIs that cause VM-exits, and split locks.
#include "vcpu/exception.h"
#include "vcpu/exits/exits.h"
#include "vcpu/exits/interrupted_event.h"
#include "vcpu/instruction.h"

namespace {

// Is an #AC an alignment check that the guest has enabled (SDM Vol. 3A, 6.15)?  If not, the host has detected a split lock.
inline Result<bool> guest_checks_alignment(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (!g_vmx.facts.split_lock_detection)
		return true;
	if (VREGCACHE_TRY(privilege_level(vcpu, vmcs)) != 3 || !VREGCACHE_TRY(host_owned_cr0<cr0::kAm>(vcpu, vmcs)))
		return false;
	return (VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kAc) != 0;
}

VREGCACHE_COLD Result<Next> report_split_lock(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u32 error = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInterruptionErrorCode>(vmcs));
	vcpu.run->exit_reason = KVM_EXIT_EXCEPTION;
	vcpu.run->ex.exception = vector::kAlignmentCheck;
	vcpu.run->ex.error_code = error;
	return Next::kUserspace;
}

// A guest's #DB or #AC may arise again and again while it is delivered.  Then no instruction of the guest completes, and a
// pending interrupt of the host's never ends the guest's run; so the host takes it before each delivery.
VRC_TRACEABLE Result<Next> handle_exception_or_nmi(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	InterruptionInformation what{VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInterruptionInformation>(vmcs))};
	if (what.is_nmi())
		return Next::kResume;
	InterruptionInformation vectoring{VREGCACHE_TRY(vcpu.cache.read<Reg::kIdtVectoringInformation>(vmcs))};
	VREGCACHE_TRY(requeue_interrupted_event(vcpu, vmcs, vectoring));
	// The host's handler may have left work for this task.
	if (what.vector() == vector::kMachineCheck)
		return Next::kLetInterruptsIn;
	if ((what.word & InterruptionInformation::kNmiUnblockedByIret) && !vcpu.injected.valid() &&
	    what.vector() != vector::kDoubleFault)
		VREGCACHE_TRY(restore_nmi_blocking(vcpu, vmcs));
	if (what.vector() == vector::kAlignmentCheck && !VREGCACHE_TRY(guest_checks_alignment(vcpu, vmcs)))
		return Next::kSplitLock;
	// The guest gets it.  #DB and #AC are benign, so they cause no double fault with the interrupted event.
	if (what.vector() == vector::kDebug) {
		u64 causes = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs));
		// INT1 is a trap: its handler returns to the next instruction.
		if (what.type() == InterruptionType::kPrivilegedSoftwareException)
			VREGCACHE_TRY(advance_rip(vcpu, vmcs));
		VREGCACHE_TRY(raise_debug(vcpu, vmcs,
					  causes & (dr6::kBreakpoints | dr6::kAccessDetected | dr6::kSingleStep)));
		return Next::kLetInterruptsIn;
	}
	Event event;
	event.information.word = what.word & ~InterruptionInformation::kNmiUnblockedByIret;
	if (what.has_error_code())
		event.error_code = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInterruptionErrorCode>(vmcs));
	if (what.is_software())
		event.instruction_length = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionLength>(vmcs));
	raise(vcpu, event);
	return Next::kLetInterruptsIn;
}

}  // namespace
