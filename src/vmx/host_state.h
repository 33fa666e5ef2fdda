// SPDX-License-Identifier: GPL-2.0
// Switching between host and guest state.
//
// Three layers.  VM-entry and VM-exit switch the state in the VMCS.  EntrySwitch switches the state that an interrupt handler
// could use or notice, around each VM-entry with interrupts off.  LoadSwitch switches the state that only userspace and a
// context switch use; the guest's stays loaded while the task keeps the CPU.
#pragma once

#include "vmx/architecture.h"
#include "vmx/cpu.h"
#include "vmx/last_written_fields.h"
#include "vmx/operation.h"
#include "vmx/raw_vmx.h"

namespace {

// MSRs that the guest uses directly or through SYSCALL, SWAPGS and RDTSCP, and that VM-entry does not load.
struct GuestMsrs {
	u64 star = 0;
	u64 lstar = 0;
	u64 cstar = 0;
	u64 sfmask = 0;
	u64 kernel_gs_base = 0;
	u64 tsc_aux = 0;
};

// One of these MSRs, by its number.
struct SwitchedMsr {
	u32 index = 0;
	u64 GuestMsrs::*copy = nullptr;
};

class LoadSwitch {
 public:
	// Interrupts off, the vCPU's VMCS current.  @host: this CPU.
	[[gnu::always_inline]] Result<void> to_guest(const PinnedVmcs& vmcs, HostFields& fields, const GuestMsrs& guest,
						     PerCpu& host)
	{
		return guest_is_in_ ? Result<void>() : bring_guest(vmcs, fields, guest, host);
	}

	// Preemption off; also from the scheduler's notifier.  An interrupt may come in between: its handler stays in the
	// kernel, which uses none of this state, and no other task runs.
	[[gnu::always_inline]] void to_host(GuestMsrs& guest);

	// For the guest's RDMSR and WRMSR, and for userspace.  Interrupts off: the CPU may hold either's value.
	u64 read(const GuestMsrs& guest, SwitchedMsr which) const;
	void write(GuestMsrs& guest, SwitchedMsr which, u64 value) const;

 private:
	// 64-bit tasks have null selectors.
	bool any_selector() const;
	void load_selectors() const;
	Result<void> bring_guest(const PinnedVmcs& vmcs, HostFields& fields, const GuestMsrs& guest, PerCpu& host);
	const HostMsrs& find_host_msrs(PerCpu& host);

	// WRMSR is slow, and host and guest often have the same value.
	[[gnu::always_inline]] static void load(u32 index, const u64& from, const u64& to)
	{
		if (from != to)
			wrmsr_from_memory(index, to);
	}

	bool guest_is_in_ = false;
	const PerCpu* host_ = nullptr;    // the CPU that holds the guest's state
	const HostMsrs* msrs_ = nullptr;  // what to put back
	HostMsrs found_;                  // what KVM has left
	struct {
		u16 fs, gs, ds, es;
	} selectors_ = {};
	u16 ldtr_ = 0;
	u64 fs_base_ = 0;
	u64 kernel_gs_base_ = 0;
};

// State that is switched around each VM-entry.  Always inlined, because noinstr code uses it (vcpu/transition.cc).
class EntrySwitch {
 public:
	u64 cr2 = 0;
	u64 dr[4] = {};
	u64 dr6 = dr6::kAfterReset;
	u64 xcr0 = xcr0::kX87;
	u32 pkru = 0;
	// Without CR4.OSXSAVE and CR4.PKE the guest can neither see nor change XCR0 and PKRU, and the host's stay loaded.
	bool xcr0_in_use = false;
	bool pkru_in_use = false;

	// Interrupts off, before each to_guest().  Returns true if the host's IA32_DEBUGCTL has changed.
	[[gnu::always_inline]] bool read_host_debugctl()
	{
		asm volatile("rdmsr" : "=a"(host_debugctl_.low), "=d"(host_debugctl_.high) : "c"(u32{msr::kDebugctl}));
		return host_debugctl_.low != host_debugctl_.followed;
	}

	// Returns the bits of IA32_DEBUGCTL that must also be set while the guest runs: FREEZE_WHILE_SMM.
	u32 follow_host_debugctl()
	{
		host_debugctl_.followed = host_debugctl_.low;
		return host_debugctl_.low & debugctl::kFreezeWhileSmm;
	}

	// Interrupts off, just before VM-entry.  @breakpoints: the guest's DR7 enables a breakpoint.
	[[gnu::always_inline]] inline void to_guest(bool breakpoints);

	// Interrupts still off, just after VM-exit.
	[[gnu::always_inline]] inline void to_host();

 private:
	static constexpr u64 kDr7AfterExit = dr7::kFixedOnes;

	[[gnu::always_inline]] inline void debug_registers_to_guest();
	[[gnu::always_inline]] inline void debug_registers_to_host();

	u64 host_dr_[4] = {};
	u64 host_dr6_ = 0;
	u64 host_dr7_ = 0;
	struct {
		u32 low = 0, high = 0;
		u32 followed = 0;  // lower half from which the guest's was last computed
	} host_debugctl_;
	u32 host_pkru_ = 0;
	bool breakpoints_ = false;
};

}  // namespace
