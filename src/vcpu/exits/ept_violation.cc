// SPDX-License-Identifier: GPL-2.0
// EPT violations: guest memory that is not mapped yet or does not exist.
#include "vcpu/exception.h"
#include "vcpu/exits/exits.h"
#include "vcpu/exits/interrupted_event.h"
#include "vcpu/instruction.h"

namespace {

// A paging-structure entry of the guest has address bits set above the guest's MAXPHYADDR.  The CPU allows them; for the
// guest they are reserved.  If the entry refers to a table, the qualification describes the CPU's own read of that table, and
// does not say whether the guest's access was a write: W/R of the error code is 0 then.
VREGCACHE_COLD Result<Next> raise_reserved_address(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 qualification)
{
	constexpr u64 kWrite = 1u << 1, kFetch = 1u << 2, kLinearAddressValid = 1u << 7, kTranslated = 1u << 8;
	if (!(qualification & kLinearAddressValid))
		return report_emulation_failure(vcpu, vmcs, ExitReason::kEptViolation);
	const u64 linear = VREGCACHE_TRY(vcpu.cache.read<Reg::kGuestLinearAddress>(vmcs));
	bool write = qualification & kWrite, fetch = qualification & kFetch;
	if (!(qualification & kTranslated)) {
		write = false;
		constexpr u64 kLongestInstruction = 15;
		const u64 rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
		fetch = linear - VREGCACHE_TRY(linear_rip(vcpu, vmcs, rip)) < kLongestInstruction;
	}
	// The error code has a bit for fetches with SMEP, or with PAE and NXE (SDM Vol. 3A, 4.7).
	const u64 control = VREGCACHE_TRY((host_owned_cr4<cr4::kSmep | cr4::kPae>(vcpu, vmcs)));
	const bool no_execute = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs)) & efer::kNxe;
	const bool reports_fetches = (control & cr4::kSmep) || ((control & cr4::kPae) && no_execute);
	const bool user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3;
	u32 error = page_fault::kPresent | page_fault::kReserved | (write ? page_fault::kWrite : 0) |
		    (user ? page_fault::kUser : 0) | (reports_fetches && fetch ? page_fault::kFetch : 0);
	vcpu.entry_switch.cr2 = linear;
	VREGCACHE_TRY(raise_fault(vcpu, vmcs, Event::exception(vector::kPageFault, error)));
	return Next::kResume;
}

VRC_TRACEABLE Result<Next> handle_ept_violation(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	constexpr u64 kNmiUnblockedByIret = 1u << 12;
	u64 qualification, address;
	u32 vectoring;
	Result<void> read =
		vcpu.cache.read_all<Reg::kExitQualification, Reg::kGuestPhysicalAddress, Reg::kIdtVectoringInformation>(
			vmcs, qualification, address, vectoring);
	if (!read.ok()) [[unlikely]]
		return read.error();
	if (InterruptionInformation{vectoring}.valid()) [[unlikely]]
		VREGCACHE_TRY(requeue_interrupted_event(vcpu, vmcs, {vectoring}));
	if ((qualification & kNmiUnblockedByIret) && !vcpu.injected.valid())
		VREGCACHE_TRY(restore_nmi_blocking(vcpu, vmcs));
	if ((address & vcpu.model.beyond_physical) && !vcpu.injected.valid()) [[unlikely]]
		return raise_reserved_address(vcpu, vmcs, qualification);

	return Next::kMapMemory;
}

inline GuestMemory::Fault map_memory(Vcpu& vcpu)
{
	MemoryGuard guard(vcpu.vm->host);
	return vcpu.vm->memory.map(vcpu.cache.peek(Reg::kGuestPhysicalAddress));
}

inline Result<Next> memory_mapped(Vcpu& vcpu, const LoadedVmcs& vmcs, GuestMemory::Fault fault)
{
	switch (fault) {
	case GuestMemory::Fault::kMapped:
		return Next::kResume;
	case GuestMemory::Fault::kOutOfMemory:
		return Next::kOutOfMemory;
	default:
		return report_emulation_failure(vcpu, vmcs, ExitReason::kEptViolation);
	}
}

}  // namespace
