// SPDX-License-Identifier: GPL-2.0
// A virtual CPU: its VMCS, the register cache in front of it, and what hardware does not keep for it.
//
// Everything but residency (sched_in, sched_out) is called with the vCPU's mutex held.
#pragma once

#include <vregcache/cache.h>
#include <vregcache/general_register.h>
#include <vregcache/guest_control_register.h>
#include <vregcache/pdptes.h>
#include <vregcache/segment.h>

#include "instrument/context.h"
#include "instrument/verification.h"
#include "vmx/vmcs_setup.h"
#include "vcpu/cpu_model.h"
#include "vcpu/event.h"
#include "vcpu/vm.h"

namespace {

using vregcache::ControlRegisterShare;
using vregcache::Gpr;
using GuestCr0 = vregcache::GuestCr0<kCr0GuestOwned>;
using GuestCr4 = vregcache::GuestCr4<kCr4GuestOwned>;
using vregcache::Reg;
using vregcache::Segment;
using vregcache::SegmentPart;
using vregcache::SegmentState;
using RegisterCache = vregcache::Cache<vregcache::VmxLayout, RawVmx, CallingContext, Counters, Verification>;

constexpr u32 kCpuidLimit = 80;

// Port I/O that userspace finishes.
struct PortIo {
	bool linear_rip_known = false;  // linear_rip has that of the instruction: userspace has set segments since
	bool in = false;
	bool string = false;
	bool repeat = false;
	u8 size = 0;
	Segment segment = Segment::kEs;
	u32 count = 0;        // elements in the data page
	u32 data_offset = 0;  // of the first of them
	u16 port = 0;
	u64 rip = 0;            // of the instruction
	u64 linear_rip = 0;     // its linear address, if linear_rip_known
	u64 linear = 0;         // of the first element in guest memory
	u64 offset = 0;         // of the first element in its segment
	u64 address_mask = 0;   // what the instruction's address size leaves of RCX, RSI and RDI
	u64 qualification = 0;  // of the exit
};

// How a way into the guest and out again ended.
struct Crossing {
	EntryResult result = EntryResult::kExited;
	Error error = Error::kNone;  // after kExited: why not all that must be known at once is known
};

// The token that VcpuResidence and EntryScope give out while it holds.  Functions take it by reference, so it has a place of
// its own, and none on the stack.
class VmcsToken {
 public:
	explicit VmcsToken(RawVmx access) : vmcs_(access) {}

 private:
	friend class VcpuResidence;
	friend class EntryScope;

	PinnedVmcs vmcs_;
};

struct Vcpu {
	Vm* vm = nullptr;
	u32 id = 0;
	vrc_host_vcpu* host = nullptr;
	kvm_run* run = nullptr;  // shared with userspace, which may write it at any time
	u8* io_data = nullptr;   // the page behind it, likewise

	RegisterCache cache;
	const VmcsToken token{RawVmx(cache.observer().accesses())};
	EntryFrame frame;
	Vmcs vmcs;
	ResidentSwitch resident;
	EntrySwitch entry;
	GuestMsrs msrs;

	ControlShadows controls;
	MsrShadows msr_shadows;
	HostShadows host_shadows;
	bool breakpoints_armed = false;  // the guest's DR7 enables one
	u32 hosts_debugctl = 0;          // bits of the host's that are set in the guest's IA32_DEBUGCTL
	bool exception_untold = false;   // an exit that observers have not heard of yet (crossing.h)
	Crossing crossing;               // the last one that was out of the ordinary

	// Work for KVM_RUN before the guest runs: an instruction to complete, and state to check that ioctls may set in any order.
	static constexpr u8 kUnfinishedIo = 1u << 0;
	static constexpr u8 kNewCpuid = 1u << 1;
	static constexpr u8 kPdptesNotLoaded = 1u << 2;  // PAE paging is on, and guest memory had no valid PDPTEs
	u8 due = 0;

	Event event;            // for the next VM-entry
	WaitingEvents waiting;  // for a VM-entry at which the guest can take them
	PortIo io;              // unfinished
	u64 apic_base = 0;
	u64 cr8 = 0;  // task-priority class

	CpuModel model;  // of the table below
	u32 cpuid_count = 0;
	kvm_cpuid_entry2 cpuid[kCpuidLimit] = {};

	vregcache::GprFile& gpr() { return frame.gpr; }
	RawVmx access() { return RawVmx(cache.observer().accesses()); }
};

inline Vcpu& vcpu_of(vrc_vcpu* vcpu) { return *reinterpret_cast<Vcpu*>(vcpu); }

// CR0 and CR4: what VMX demands of them, less what unrestricted guest waives (SDM Vol. 3C, 24.8).
// VM-entry leaves CD and NW alone (SDM Vol. 3C, 27.3.2.1), and Linux runs with both clear.
inline ControlRegisterShare cr0_share()
{
	return {kCr0GuestOwned, g_vmx.cr0_fixed0 & ~(cr0::kPe | cr0::kPg), cr0::kCd | cr0::kNw};
}

inline ControlRegisterShare cr4_share(const Vcpu& vcpu)
{
	// A machine check while CR4.MCE is clear shuts the machine down, so the host's setting is in force in the guest too.
	return {kCr4GuestOwned & vcpu.model.cr4, g_vmx.cr4_fixed0 | g_vmx.host_cr4_mce};
}

inline Result<u64> guest_cr0(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return GuestCr0::read(vcpu.cache, vmcs, cr0_share());
}

inline Result<u64> guest_cr4(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return GuestCr4::read(vcpu.cache, vmcs, cr4_share(vcpu));
}

// Bits of CR0 and CR4 that only the host changes: no VMREAD after a VM-exit.
template <u64 kBits>
Result<u64> host_owned_cr0(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return GuestCr0::read_host_owned<kBits>(vcpu.cache, vmcs);
}

template <u64 kBits>
Result<u64> host_owned_cr4(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return GuestCr4::read_host_owned<kBits>(vcpu.cache, vmcs);
}

// Is the guest in IA-32e mode?  EFER is host-owned, so memory has it.
inline Result<bool> in_long_mode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return (VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs)) & efer::kLma) != 0;
}

inline Result<bool> in_64bit_mode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return vregcache::in_64bit_mode(vcpu.cache, vmcs);
}

// The privilege level is SS's DPL (SDM Vol. 3C, 25.4.1).
inline Result<u32> privilege_level(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 rights = VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(Segment::kSs, SegmentPart::kAccessRights)));
	return static_cast<u32>(rights & vregcache::access_rights::kDplMask) >> vregcache::access_rights::kDplShift;
}

// A general-purpose register as a MOV names it, as wide as the guest's mode has it.
inline Result<u64> read_gpr(Vcpu& vcpu, const LoadedVmcs& vmcs, Gpr gpr)
{
	return vregcache::read_gpr(vcpu.cache, vmcs, vcpu.gpr(), gpr);
}

inline Result<void> write_gpr(Vcpu& vcpu, const LoadedVmcs& vmcs, Gpr gpr, u64 value)
{
	return vregcache::write_gpr(vcpu.cache, vmcs, vcpu.gpr(), gpr, value);
}

// Bits of the interruptibility state (SDM Vol. 3C, table 25-3).
namespace interruptibility {
constexpr u32 kBlockingBySti = 1u << 0, kBlockingByMovSs = 1u << 1, kBlockingByNmi = 1u << 3;
}

// An exception goes first.  An interrupt or NMI that it overtakes is not lost: it waits.  Another exception, or INT n, is
// dropped: its instruction will execute again (SDM Vol. 3A, table 6-5).
inline void raise(Vcpu& vcpu, Event event)
{
	if (vcpu.event.information.is_external_interrupt())
		vcpu.waiting.add_interrupt(vcpu.event.information.vector());
	else if (vcpu.event.information.is_nmi())
		vcpu.waiting.add_nmi();
	vcpu.event = event;
}

inline Result<void> set_resume_flag(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	vcpu.cache.write<Reg::kRflags>(vmcs, flags | rflags::kRf);
	return {};
}

// A fault of the instruction at RIP.  Fault-class exceptions push RFLAGS with RF set, so that a breakpoint on the
// instruction does not fire twice (SDM Vol. 3B, 18.3.1.1).
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

// DR6 bits that a debug exception reports; the others are sticky or constant.
constexpr u64 kDr6Breakpoints = 0xf, kDr6AccessDetected = 1u << 13, kDr6SingleStep = 1u << 14;

inline Result<void> raise_debug(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 dr6_bits)
{
	// Delivery clears general detect, or the handler could not look at the debug registers (SDM Vol. 3B, 18.2.4).
	constexpr u64 kGeneralDetect = 1u << 13;
	u64 dr7 = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	vcpu.cache.write<Reg::kDr7>(vmcs, dr7 & ~kGeneralDetect);
	// It also ends branch traps and the recording of branches (SDM Vol. 3B, 18.4.1).
	u64 control = VREGCACHE_TRY(vcpu.cache.read<Reg::kDebugctl>(vmcs));
	vcpu.cache.write<Reg::kDebugctl>(vmcs, control & ~(debugctl::kLbr | debugctl::kBtf));
	vcpu.entry.dr6 = (vcpu.entry.dr6 & ~kDr6Breakpoints) | dr6_bits;
	raise(vcpu, Event::exception(vector::kDebug));
	return {};
}

// IA32_DEBUGCTL without the host's bits.
inline Result<u64> guest_debugctl(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return VREGCACHE_TRY(vcpu.cache.read<Reg::kDebugctl>(vmcs)) & ~u64{vcpu.hosts_debugctl};
}

inline void set_guest_debugctl(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	vcpu.cache.write<Reg::kDebugctl>(vmcs, value | vcpu.hosts_debugctl);
}

// Does each instruction trap?  With BTF, only branches do (SDM Vol. 3B, 18.4.3).
inline Result<bool> traps_each_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags)
{
	if (!(flags & rflags::kTf))
		return false;
	return !(VREGCACHE_TRY(vcpu.cache.read<Reg::kDebugctl>(vmcs)) & debugctl::kBtf);
}

// Ends blocking by STI and by MOV SS, as each instruction does, and the first iteration of a repeated one.  True: MOV SS
// was blocking.
inline Result<bool> end_blocking(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	using namespace interruptibility;
	u32 blocking = VREGCACHE_TRY(vcpu.cache.read<Reg::kInterruptibility>(vmcs));
	vcpu.cache.write<Reg::kInterruptibility>(vmcs, blocking & ~(kBlockingBySti | kBlockingByMovSs));
	return (blocking & kBlockingByMovSs) != 0;
}

// Goes behind the instruction at RIP.  True: MOV SS was blocking.
inline Result<bool> advance_rip(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u32 length = VREGCACHE_TRY(vcpu.cache.read<Reg::kExitInstructionLength>(vmcs));
	VREGCACHE_TRY(add_to_rip(vcpu.cache, vmcs, length));
	return end_blocking(vcpu, vmcs);
}

// For an instruction that will be carried out and that has a qualification: reads it, and what skip_instruction() will want.
inline Result<u64> read_qualification_and_more(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	[[gnu::uninitialized]] u64 qualification, rip, flags;
	[[gnu::uninitialized]] u32 length, blocking;
	Result<void> read = vcpu.cache.read_all<Reg::kExitQualification, Reg::kRip, Reg::kExitInstructionLength,
						Reg::kInterruptibility, Reg::kRflags>(vmcs, qualification, rip, length,
										      blocking, flags);
	if (!read.ok()) [[unlikely]]
		return read.error();
	return qualification;
}

// An instruction, or an iteration of a repeated one, has been carried out, and these breakpoints (bits of DR6) were met in
// it.  @after_mov_ss: blocking by MOV SS has ended with it.  True: the guest gets a debug exception.
inline Result<bool> trap_if_due(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 flags, bool after_mov_ss, u64 breakpoints)
{
	u64 causes = breakpoints;
	if (!(flags & rflags::kTf) && !after_mov_ss && !causes)
		return false;
	// A breakpoint that a MOV SS before it held back is reported now, with the single step in one exception; an event that
	// VM-entry injects would make it lost.
	constexpr u64 kEnabledBreakpoint = 1u << 12;
	u64 pending = VREGCACHE_TRY(vcpu.cache.read<Reg::kPendingDebugExceptions>(vmcs));
	if (pending & kEnabledBreakpoint)
		causes |= pending & kDr6Breakpoints;
	if (VREGCACHE_TRY(traps_each_instruction(vcpu, vmcs, flags)))
		causes |= kDr6SingleStep;
	if (!causes)
		return false;
	vcpu.cache.write<Reg::kPendingDebugExceptions>(vmcs, u64{0});
	VREGCACHE_TRY(raise_debug(vcpu, vmcs, causes));
	return true;
}

VREGCACHE_OUT_OF_LINE Result<void> skip_instruction_with_care(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 breakpoints = 0)
{
	bool after_mov_ss = VREGCACHE_TRY(advance_rip(vcpu, vmcs));
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	// RF holds breakpoints back for one instruction.
	if (flags & rflags::kRf)
		vcpu.cache.write<Reg::kRflags>(vmcs, flags & ~rflags::kRf);
	VREGCACHE_TRY(trap_if_due(vcpu, vmcs, flags, after_mov_ss, breakpoints));
	return {};
}

// What skip_instruction() takes, read.  Nearly always all that is to do is to move RIP.
[[gnu::always_inline]] inline Result<void> move_rip(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 rip, u32 length,
						    u32 blocking, u64 flags)
{
	using namespace interruptibility;
	bool extraordinary = (flags & (rflags::kTf | rflags::kRf)) ||
			     (blocking & (kBlockingBySti | kBlockingByMovSs)) || (rip ^ (rip + length)) >> 32;
	if (extraordinary) [[unlikely]]
		return skip_instruction_with_care(vcpu, vmcs);
	vcpu.cache.write<Reg::kRip>(vmcs, rip + length);
	return {};
}

// The instruction at RIP was carried out for the guest: all that a completed instruction does.
VREGCACHE_OUT_OF_LINE Result<void> skip_instruction(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	[[gnu::uninitialized]] u64 rip, flags;
	[[gnu::uninitialized]] u32 length, blocking;
	Result<void> read =
		vcpu.cache.read_all<Reg::kRip, Reg::kExitInstructionLength, Reg::kInterruptibility, Reg::kRflags>(
			vmcs, rip, length, blocking, flags);
	if (!read.ok()) [[unlikely]]
		return read;
	return move_rip(vcpu, vmcs, rip, length, blocking, flags);
}

// The same, in line, where nothing of what it takes will have been read.
[[gnu::always_inline]] inline Result<void> skip_instruction_at_once(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	auto& cache = vcpu.cache;
	if (!cache.all_missing<Reg::kRip, Reg::kExitInstructionLength, Reg::kInterruptibility, Reg::kRflags>())
		[[unlikely]]
		return skip_instruction(vcpu, vmcs);
	[[gnu::uninitialized]] u64 rip, flags;
	[[gnu::uninitialized]] u32 length, blocking;
	Result<void> read =
		cache.read_all_missing<Reg::kRip, Reg::kExitInstructionLength, Reg::kInterruptibility, Reg::kRflags>(
			vmcs, rip, length, blocking, flags);
	if (!read.ok()) [[unlikely]]
		return read;
	return move_rip(vcpu, vmcs, rip, length, blocking, flags);
}

// Makes this task's VMCS accesses go to the vCPU's VMCS, for a scope.
class VcpuResidence {
 public:
	explicit VcpuResidence(Vcpu& vcpu) : vcpu_(vcpu) { error_ = vrc_host_vcpu_get(vcpu.host, vcpu.vmcs.task()); }
	~VcpuResidence()
	{
		if (!error_)
			vrc_host_vcpu_put(vcpu_.host);
		vcpu_.vmcs.forget_task();
	}
	VcpuResidence(const VcpuResidence&) = delete;
	VcpuResidence& operator=(const VcpuResidence&) = delete;

	// -EIO: the CPUs have left VMX operation for good, and there is no VMCS to work with.
	int error() const { return error_; }
	const LoadedVmcs& vmcs() const { return vcpu_.token.vmcs_; }

 private:
	Vcpu& vcpu_;
	int error_ = 0;
};

}  // namespace

namespace {

VREGCACHE_COLD int load_vmcs(Vcpu& vcpu)
{
	Result<bool> moved = vcpu.vmcs.load();
	// After a reboot has begun no CPU is in VMX operation; every access fails with kNotCurrent.
	if (!moved.ok())
		return vrc_cpu_state();
	if (moved.value() && !write_host_cpu_state(LoadedVmcs(vcpu.access()), vcpu.host_shadows).ok() &&
	    !vrc_cpu_state())
		vrc_host_warn("a VMCS that was just loaded refuses VMWRITE");
	return 0;
}

}  // namespace

// A VMCS is current only on a CPU that is in VMX operation: who ends that clears each VMCS first.
extern "C" int vrc_vcpu_sched_in(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	return current_vmcs() == vcpu.vmcs.id() ? 0 : load_vmcs(vcpu);
}

extern "C" void vrc_vcpu_sched_out(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	vcpu.resident.to_host(vcpu.msrs);
}
