// SPDX-License-Identifier: GPL-2.0
// What the module does for the guest at each VM-exit.
#pragma once

#include "vcpu/injection.h"
#include "vcpu/port_io.h"

namespace {

VRC_TRACEABLE Result<Next> handle_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	auto& gpr = vcpu.gpr();
	CpuidResult r = VREGCACHE_TRY(
		execute_cpuid(vcpu, vmcs, static_cast<u32>(gpr[Gpr::kRax]), static_cast<u32>(gpr[Gpr::kRcx])));
	gpr[Gpr::kRax] = r.eax;
	gpr[Gpr::kRbx] = r.ebx;
	gpr[Gpr::kRcx] = r.ecx;
	gpr[Gpr::kRdx] = r.edx;
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

VRC_TRACEABLE Result<Next> handle_hlt(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(skip_instruction_at_once(vcpu, vmcs));
	// An event that can be delivered wakes the CPU at once.
	if (vcpu.event.pending())
		return Next::kResume;
	if (vcpu.waiting.any() && VREGCACHE_TRY(waiting_event_is_due(vcpu, vmcs))) [[unlikely]]
		return Next::kResume;
	vcpu.run->exit_reason = KVM_EXIT_HLT;
	return Next::kUserspace;
}

// Instructions that change nothing the module models.
inline Result<Next> handle_nothing_to_do(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	return Next::kResume;
}

// INVD and WBINVD: guest memory is write-back, and coherent.
VRC_TRACEABLE Result<Next> handle_cache_flush(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return handle_nothing_to_do(vcpu, vmcs);
}

VRC_TRACEABLE Result<Next> handle_invalid_opcode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(raise_invalid_opcode(vcpu, vmcs));
	return Next::kResume;
}

VRC_TRACEABLE Result<Next> handle_general_protection(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(raise_general_protection(vcpu, vmcs));
	return Next::kResume;
}

// No hypercall is offered, which is what KVM's clients ask RAX for.
VRC_TRACEABLE Result<Next> handle_vmcall(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	constexpr u64 kNoSuchHypercall = static_cast<u64>(-1000);
	vcpu.gpr()[Gpr::kRax] = kNoSuchHypercall;
	return handle_nothing_to_do(vcpu, vmcs);
}

VRC_TRACEABLE Result<Next> handle_rdmsr(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	MsrValue read = VREGCACHE_TRY(read_msr(vcpu, vmcs, MsrUser::kGuest, static_cast<u32>(vcpu.gpr()[Gpr::kRcx])));
	if (!read.known)
		return handle_general_protection(vcpu, vmcs);
	write_edx_eax(vcpu.gpr(), read.value);
	return handle_nothing_to_do(vcpu, vmcs);
}

VRC_TRACEABLE Result<Next> handle_wrmsr(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 value = read_edx_eax(vcpu.gpr());
	if (!VREGCACHE_TRY(write_msr(vcpu, vmcs, MsrUser::kGuest, static_cast<u32>(vcpu.gpr()[Gpr::kRcx]), value)))
		return handle_general_protection(vcpu, vmcs);
	return handle_nothing_to_do(vcpu, vmcs);
}

// The exit qualification of a control-register access (SDM Vol. 3C, table 28-3).
struct ControlRegisterQualification {
	enum class Type : u8 { kMovTo, kMovFrom, kClts, kLmsw };

	u64 word;

	u8 number() const { return word & 0xf; }
	Type type() const { return static_cast<Type>(word >> 4 & 3); }
	Gpr gpr() const { return static_cast<Gpr>(word >> 8 & 0xf); }
	u16 lmsw_source() const { return static_cast<u16>(word >> 16); }
};

// MOV to CR8.  If it lowers the task priority, the run ends: userspace may now have an interrupt to inject.
VREGCACHE_COLD Result<Next> load_cr8(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	if (value > 15)
		return handle_general_protection(vcpu, vmcs);
	const bool lower = value < vcpu.cr8;
	vcpu.cr8 = value;
	vcpu.run->cr8 = value;
	if (!lower)
		return handle_nothing_to_do(vcpu, vmcs);
	VREGCACHE_TRY(skip_instruction(vcpu, vmcs));
	vcpu.run->exit_reason = KVM_EXIT_SET_TPR;
	return Next::kUserspace;
}

VRC_TRACEABLE Result<Next> handle_control_register(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using Type = ControlRegisterQualification::Type;
	ControlRegisterQualification access{VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs))};
	bool allowed = true;
	switch (access.type()) {
	case Type::kMovTo: {
		u64 value = VREGCACHE_TRY(read_gpr(vcpu, vmcs, access.gpr()));
		switch (access.number()) {
		case 0:
			allowed = VREGCACHE_TRY(load_cr0(vcpu, vmcs, value));
			break;
		case 3:
			allowed = VREGCACHE_TRY(load_cr3(vcpu, vmcs, value));
			break;
		case 4:
			allowed = VREGCACHE_TRY(load_cr4(vcpu, vmcs, value));
			break;
		default:
			return load_cr8(vcpu, vmcs, value);
		}
		break;
	}
	case Type::kMovFrom:
		// Only CR8 exits: CR0 and CR4 are read from their shadows, and CR3 is the guest's.
		VREGCACHE_TRY(write_gpr(vcpu, vmcs, access.gpr(), vcpu.cr8));
		break;
	case Type::kClts: {
		u64 value = VREGCACHE_TRY(guest_cr0(vcpu, vmcs));
		allowed = VREGCACHE_TRY(load_cr0(vcpu, vmcs, value & ~cr0::kTs));
		break;
	}
	case Type::kLmsw: {
		// LMSW loads bits 3:0, and cannot clear PE.
		u64 value = VREGCACHE_TRY(guest_cr0(vcpu, vmcs));
		u64 source = access.lmsw_source() & 0xf;
		allowed = VREGCACHE_TRY(load_cr0(vcpu, vmcs, (value & ~u64{0xe}) | source));
		break;
	}
	}
	return allowed ? handle_nothing_to_do(vcpu, vmcs) : handle_general_protection(vcpu, vmcs);
}

// DR7 decides whether the guest's breakpoints are in the CPU.
inline void set_dr7(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	constexpr u64 kEnableAny = 0xff, kFixedOnes = 1u << 10;
	vcpu.cache.write<Reg::kDr7>(vmcs, (value & 0xffff2bff) | kFixedOnes);
	vcpu.breakpoints_armed = value & kEnableAny;
}

constexpr u64 kDr6FixedOnes = 0xfffe0ff0, kDr6Writable = 0x1e00f, kDr6Rtm = 1u << 16;

inline u64 dr6_from(u64 value)
{
	// RTM is one where transactional memory has no debugging, which is everywhere here.
	return (value & kDr6Writable) | kDr6FixedOnes | kDr6Rtm;
}

VRC_TRACEABLE Result<Next> handle_mov_dr(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 qualification = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs));
	u32 number = qualification & 7;
	bool from = qualification & 1u << 4;
	Gpr gpr = static_cast<Gpr>(qualification >> 8 & 0xf);

	// The exit comes before the instruction's own checks (SDM Vol. 3C, 26.1.3), so they are made here.
	// DR4 and DR5 are other names for DR6 and DR7, unless debug extensions are on.
	if (number == 4 || number == 5) {
		if (VREGCACHE_TRY(guest_cr4(vcpu, vmcs)) & cr4::kDe)
			return handle_invalid_opcode(vcpu, vmcs);
		number += 2;
	}
	if (VREGCACHE_TRY(privilege_level(vcpu, vmcs)) != 0)
		return handle_general_protection(vcpu, vmcs);
	u64 dr7 = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	constexpr u64 kGeneralDetect = 1u << 13;
	if (dr7 & kGeneralDetect) {
		// The one debug exception that is a fault and not about a breakpoint: it pushes RF set, as faults do.
		VREGCACHE_TRY(set_resume_flag(vcpu, vmcs));
		VREGCACHE_TRY(raise_debug(vcpu, vmcs, kDr6AccessDetected));
		return Next::kResume;
	}
	if (from) {
		u64 value = number < 4 ? vcpu.entry.dr[number] : number == 6 ? vcpu.entry.dr6 : dr7;
		VREGCACHE_TRY(write_gpr(vcpu, vmcs, gpr, value));
		return handle_nothing_to_do(vcpu, vmcs);
	}
	u64 value = VREGCACHE_TRY(read_gpr(vcpu, vmcs, gpr));
	if (number < 4) {
		// Any value is accepted: an address that is not canonical never matches (SDM Vol. 3B, 18.2.6).
		vcpu.entry.dr[number] = value;
	} else if (value >> 32) {
		return handle_general_protection(vcpu, vmcs);
	} else if (number == 6) {
		vcpu.entry.dr6 = dr6_from(value);
	} else {
		set_dr7(vcpu, vmcs, value);
	}
	return handle_nothing_to_do(vcpu, vmcs);
}

// XCR0 values that XSETBV takes (SDM Vol. 1, 13.3).
inline bool is_valid_xcr0(const CpuModel& model, u64 value)
{
	if ((value & ~model.xcr0) || !(value & xcr0::kX87))
		return false;
	if ((value & xcr0::kAvx) && !(value & xcr0::kSse))
		return false;
	u64 avx512 = value & xcr0::kAvx512;
	return !avx512 || (avx512 == xcr0::kAvx512 && (value & xcr0::kAvx));
}

VRC_TRACEABLE Result<Next> handle_xsetbv(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 value = read_edx_eax(vcpu.gpr());
	if (static_cast<u32>(vcpu.gpr()[Gpr::kRcx]) != 0 || !is_valid_xcr0(vcpu.model, value))
		return handle_general_protection(vcpu, vmcs);
	vcpu.entry.xcr0 = value;
	follow_cr4(vcpu, VREGCACHE_TRY(host_owned_cr4<kCr4Followed>(vcpu, vmcs)));
	return handle_nothing_to_do(vcpu, vmcs);
}

// An event whose delivery the exit interrupted must be delivered again (SDM Vol. 3C, 28.2.4).
inline Result<void> requeue_interrupted_event(Vcpu& vcpu, const LoadedVmcs& vmcs, InterruptionInformation vectoring)
{
	if (!vectoring.valid())
		return {};
	vcpu.event = {};
	vcpu.event.information.word = vectoring.word;
	if (vectoring.has_error_code())
		vcpu.event.error_code = VREGCACHE_TRY(vcpu.cache.read<Reg::kIdtVectoringErrorCode>(vmcs));
	if (vectoring.is_software())
		vcpu.event.instruction_length = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionLength>(vmcs));
	// Delivering the NMI again sets blocking again, and VM-entry wants it clear before (SDM Vol. 3C, 27.3.1.5).
	if (vectoring.is_nmi()) {
		u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
		vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking & ~interruptibility::kBlockingByNmi);
	}
	return {};
}

// The exit came while IRET had already ended blocking by NMI, but IRET will execute again (SDM Vol. 3C, 28.2.3).
inline Result<void> restore_nmi_blocking(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking | interruptibility::kBlockingByNmi);
	return {};
}

// A paging-structure entry of the guest has address bits set above the guest's MAXPHYADDR.  The CPU allows them; for the guest
// they are reserved.  If the entry refers to a table, the qualification describes the CPU's own read of that table, and does not
// say whether the guest's access was a write: W/R of the error code is 0 then.
VREGCACHE_COLD Result<Next> raise_reserved_address(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 qualification)
{
	constexpr u64 kWrite = 1u << 1, kFetch = 1u << 2, kLinearAddressValid = 1u << 7, kTranslated = 1u << 8;
	constexpr u32 kPresentError = 1u << 0, kWriteError = 1u << 1, kUserError = 1u << 2, kReservedError = 1u << 3,
		      kFetchError = 1u << 4;
	if (!(qualification & kLinearAddressValid))
		return give_up(vcpu, vmcs, ExitReason::kEptViolation);
	const u64 linear = VREGCACHE_TRY(vcpu.cache.read<Reg::kGuestLinearAddress>(vmcs));
	bool write = qualification & kWrite, fetch = qualification & kFetch;
	if (!(qualification & kTranslated)) {
		write = false;
		constexpr u64 kLongestInstruction = 15;
		const u64 rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
		fetch = linear - VREGCACHE_TRY(linear_rip(vcpu, vmcs, rip)) < kLongestInstruction;
	}
	// Fetches have a bit of their own with SMEP, or with PAE and NXE (SDM Vol. 3A, 4.7).
	const u64 control = VREGCACHE_TRY((host_owned_cr4<cr4::kSmep | cr4::kPae>(vcpu, vmcs)));
	const bool no_execute = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs)) & efer::kNxe;
	const bool tells_fetches = (control & cr4::kSmep) || ((control & cr4::kPae) && no_execute);
	const bool user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3;
	u32 error = kPresentError | kReservedError | (write ? kWriteError : 0) | (user ? kUserError : 0) |
		    (tells_fetches && fetch ? kFetchError : 0);
	vcpu.entry.cr2 = linear;
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
	VREGCACHE_TRY(requeue_interrupted_event(vcpu, vmcs, {vectoring}));
	if ((qualification & kNmiUnblockedByIret) && !vcpu.event.pending())
		VREGCACHE_TRY(restore_nmi_blocking(vcpu, vmcs));
	if ((address & vcpu.model.beyond_physical()) && !vcpu.event.pending()) [[unlikely]]
		return raise_reserved_address(vcpu, vmcs, qualification);

	GuestMemory::Fault fault;
	{
		MemoryGuard guard(vcpu.vm->host);
		fault = vcpu.vm->memory.handle_violation(address);
	}
	switch (fault) {
	case GuestMemory::Fault::kMapped:
		return Next::kResume;
	case GuestMemory::Fault::kOutOfMemory:
		return Next::kOutOfMemory;
	default:
		return give_up(vcpu, vmcs, ExitReason::kEptViolation);
	}
}

// Is an #AC an alignment check that the guest has enabled (SDM Vol. 3A, 6.15)?  If not, the host detects split locks.
inline Result<bool> guest_checks_alignment(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (!g_vmx.facts.split_lock_detection)
		return true;
	if (VREGCACHE_TRY(privilege_level(vcpu, vmcs)) != 3 || !VREGCACHE_TRY(host_owned_cr0<cr0::kAm>(vcpu, vmcs)))
		return false;
	return (VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs)) & rflags::kAc) != 0;
}

// The guest has executed a split lock, and the host detects them.  May sleep.
[[maybe_unused]] VREGCACHE_COLD Result<Next> handle_split_lock(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
	if (vrc_host_handle_split_lock(rip))
		return Next::kResume;
	u32 error = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInterruptionErrorCode>(vmcs));
	vcpu.run->exit_reason = KVM_EXIT_EXCEPTION;
	vcpu.run->ex.exception = vector::kAlignmentCheck;
	vcpu.run->ex.error_code = error;
	return Next::kUserspace;
}

// NMI and #MC were given to the host before interrupts were on again.
VRC_TRACEABLE Result<Next> handle_exception_or_nmi(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	InterruptionInformation what{VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInterruptionInformation>(vmcs))};
	if (what.is_nmi())
		return Next::kResume;
	InterruptionInformation vectoring{VREGCACHE_TRY(vcpu.cache.read<Reg::kIdtVectoringInformation>(vmcs))};
	VREGCACHE_TRY(requeue_interrupted_event(vcpu, vmcs, vectoring));
	if (what.vector() == vector::kMachineCheck)
		return Next::kResume;
	if ((what.word & InterruptionInformation::kNmiUnblockedByIret) && !vcpu.event.pending() &&
	    what.vector() != vector::kDoubleFault)
		VREGCACHE_TRY(restore_nmi_blocking(vcpu, vmcs));
	if (what.vector() == vector::kAlignmentCheck && !VREGCACHE_TRY(guest_checks_alignment(vcpu, vmcs)))
		return Next::kSplitLock;
	// The guest gets it.  #DB and #AC are benign, so they make no double fault with what was being delivered.
	if (what.vector() == vector::kDebug) {
		u64 causes = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitQualification>(vmcs));
		// INT1 is a trap: its handler returns behind it.
		if (what.type() == InterruptionType::kPrivilegedSoftwareException)
			VREGCACHE_TRY(advance_rip(vcpu, vmcs));
		VREGCACHE_TRY(
			raise_debug(vcpu, vmcs, causes & (kDr6Breakpoints | kDr6AccessDetected | kDr6SingleStep)));
		return Next::kResume;
	}
	Event event;
	event.information.word = what.word & ~InterruptionInformation::kNmiUnblockedByIret;
	if (what.has_error_code())
		event.error_code = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInterruptionErrorCode>(vmcs));
	if (what.is_software())
		event.instruction_length = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionLength>(vmcs));
	raise(vcpu, event);
	return Next::kResume;
}

// The guest can take an interrupt now; the next VM-entry delivers the one that waits.
VRC_TRACEABLE Result<Next> handle_interrupt_window(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	if (VREGCACHE_TRY(waiting_event_is_due(vcpu, vmcs)) || !userspace_wants_interrupt_window(vcpu) ||
	    !VREGCACHE_TRY(can_take_interrupt(vcpu, vmcs)))
		return Next::kResume;
	vcpu.run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
	return Next::kUserspace;
}

// Could handling this exit sleep?  Then the guest's FPU registers must be out of the CPU first.
inline Result<bool> exit_may_sleep(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason)
{
	// A kernel that mitigates Spectre v2 has no jump tables, and most exits have a lower reason than these.
	if (reason < ExitReason::kControlRegister)
		return false;
	// PAE paging may come into force, whose page-directory pointers are loaded from guest memory.
	if (reason == ExitReason::kControlRegister) [[unlikely]]
		return !VREGCACHE_TRY(in_long_mode(vcpu, vmcs));
	if (reason == ExitReason::kIo) [[likely]]
		return IoQualification{VREGCACHE_TRY(read_qualification_and_more(vcpu, vmcs))}.string();
	return reason == ExitReason::kEptViolation;
}

VREGCACHE_COLD Result<Next> handle_rare_exit(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason)
{
	switch (reason) {
	// Never offered, or offered and then without an exit.
	case ExitReason::kRdrand:
	case ExitReason::kRdseed:
	case ExitReason::kEncls:
	case ExitReason::kSeamcall:
	case ExitReason::kTdcall:
		return handle_invalid_opcode(vcpu, vmcs);
	default:
		// The VMX instructions have reasons 18 to 27; the guest's CPUID has no VMX.
		if (reason > ExitReason::kVmcall && reason <= ExitReason::kVmxon)
			return handle_invalid_opcode(vcpu, vmcs);
		return give_up(vcpu, vmcs, reason);
	}
}

VRC_TRACEABLE Result<Next> handle_exit(Vcpu& vcpu, const LoadedVmcs& vmcs, ExitReason reason)
{
	// A kernel that mitigates Spectre v2 has no jump tables: first what an idle guest does all the time.
	if (reason == ExitReason::kHlt)
		return handle_hlt(vcpu, vmcs);
	switch (reason) {
	case ExitReason::kExceptionOrNmi:
		return handle_exception_or_nmi(vcpu, vmcs);
	case ExitReason::kExternalInterrupt:
		// Interrupts were enabled since, and the host has taken it.
		return Next::kResume;
	case ExitReason::kTripleFault:
		vcpu.run->exit_reason = KVM_EXIT_SHUTDOWN;
		return Next::kUserspace;
	case ExitReason::kCpuid:
		return handle_cpuid(vcpu, vmcs);
	case ExitReason::kInterruptWindow:
		return handle_interrupt_window(vcpu, vmcs);
	case ExitReason::kNmiWindow:
		// The next VM-entry delivers the NMI that waits.
		return Next::kResume;
	case ExitReason::kInvd:
	case ExitReason::kWbinvd:
		return handle_cache_flush(vcpu, vmcs);
	case ExitReason::kRdpmc:
		return handle_general_protection(vcpu, vmcs);
	case ExitReason::kVmcall:
		return handle_vmcall(vcpu, vmcs);
	case ExitReason::kControlRegister:
		return handle_control_register(vcpu, vmcs);
	case ExitReason::kMovDr:
		return handle_mov_dr(vcpu, vmcs);
	case ExitReason::kIo:
		return handle_io(vcpu, vmcs);
	case ExitReason::kRdmsr:
		return handle_rdmsr(vcpu, vmcs);
	case ExitReason::kWrmsr:
		return handle_wrmsr(vcpu, vmcs);
	case ExitReason::kEptViolation:
		return handle_ept_violation(vcpu, vmcs);
	case ExitReason::kXsetbv:
		return handle_xsetbv(vcpu, vmcs);
	case ExitReason::kMwait:
	case ExitReason::kMonitor:
	case ExitReason::kInvept:
	case ExitReason::kInvvpid:
		return handle_invalid_opcode(vcpu, vmcs);
	default:
		return handle_rare_exit(vcpu, vmcs, reason);
	}
}

}  // namespace
