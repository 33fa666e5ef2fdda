// SPDX-License-Identifier: GPL-2.0
// A virtual CPU: its VMCS, the register cache in front of it, and state that hardware does not keep for it.
//
// Everything is called with the vCPU's mutex held, but vrc_vcpu_create(), vrc_vcpu_destroy(), vrc_vcpu_sched_in(),
// vrc_vcpu_sched_out() and vrc_vcpu_pmi_sample().
#pragma once

#include <vregcache/cache.h>
#include <vregcache/general_register.h>
#include <vregcache/guest_control_register.h>
#include <vregcache/pdptes.h>
#include <vregcache/segment.h>
#include "instrument/hooks.h"
#include "vmx/entry.h"
#include "vmx/host_state.h"
#include "vmx/vmcs.h"
#include "vmx/vmcs_setup.h"
#include "vcpu/cpu_model.h"
#include "vcpu/event.h"
#include "vcpu/vm.h"
#include "vcpu/vmcs_token.h"

namespace {

using vregcache::ControlRegisterShare;
using vregcache::Gpr;
using GuestCr0 = vregcache::GuestCr0<kCr0GuestOwned>;
using GuestCr4 = vregcache::GuestCr4<kCr4GuestOwned>;
using vregcache::Reg;
using vregcache::Segment;
using vregcache::SegmentPart;
using vregcache::SegmentState;
using RegisterCache = vregcache::Cache<RawVmx, VcpuHooks>;
constexpr u32 kCpuidLimit = 80;
constexpr int kWindowClosed = 1;

// Port I/O that userspace completes.
struct PortIo {
	bool linear_rip_known = false;  // linear_rip is valid: userspace has set segments since
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
	u64 address_mask = 0;   // bits of RCX, RSI and RDI within the instruction's address size
	u64 qualification = 0;  // of the exit
};

struct Vcpu {
	Vm* vm = nullptr;
	u32 id = 0;
	vrc_host_vcpu* host = nullptr;
	kvm_run* run = nullptr;  // shared with userspace, which may write it at any time
	u8* io_data = nullptr;   // the next page, also shared

	RegisterCache cache;
	const VmcsToken token{RawVmx(cache.hooks().counters.accesses())};
	EntryFrame frame;
	Vmcs vmcs;
	LoadSwitch load_switch;
	EntrySwitch entry_switch;
	GuestMsrs msrs;

	ControlFields controls;
	MsrFields msr_fields;
	HostFields host_fields;
	int window_error = kWindowClosed;  // zero: a window is open (vmcs_window.h)
	bool others_ran = true;       // on this CPU, since the last window: another task, or another ioctl of this one
	bool ran_beside_kvm = false;  // the guest, since the last indirect branch prediction barrier
	bool breakpoints_armed = false;     // the guest's DR7 enables one
	u32 hosts_debugctl = 0;             // host bits that are set in the guest's IA32_DEBUGCTL
	bool exception_unreported = false;  // an exit for which the hooks have not been called yet (transition.h)

	// Work for KVM_RUN before the guest runs: an instruction to complete, and checks of state that ioctls set in any order.
	static constexpr u8 kUnfinishedIo = 1u << 0;
	static constexpr u8 kNewCpuid = 1u << 1;
	static constexpr u8 kPdptesNotLoaded = 1u << 2;  // PAE paging is on, and guest memory had no valid PDPTEs
	u8 due = 0;

	Event injected;         // for the next VM-entry
	PendingEvents pending;  // for a VM-entry at which the guest can take them
	PortIo io;              // unfinished
	u64 apic_base = 0;
	u64 cr8 = 0;  // task-priority class

	CpuModel model;  // from the table below
	u32 cpuid_count = 0;
	kvm_cpuid_entry2 cpuid[kCpuidLimit] = {};

	vregcache::GprFile& gpr() { return frame.gpr; }
	[[gnu::always_inline]] RawVmx access() { return RawVmx(cache.hooks().counters.accesses()); }
};

inline Vcpu& vcpu_of(vrc_vcpu* vcpu) { return *reinterpret_cast<Vcpu*>(vcpu); }

// Host-owned bits of CR0 and CR4, which need no VMREAD after a VM-exit.
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

}  // namespace
