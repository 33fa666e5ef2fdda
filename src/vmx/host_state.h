// SPDX-License-Identifier: GPL-2.0
// Switching between host and guest state.
//
// Three layers.  VM-entry and VM-exit switch the state in the VMCS.  EntrySwitch switches the state that an interrupt handler
// could use or notice, around each VM-entry with interrupts off.  ResidentSwitch switches the state that only userspace and a
// context switch use; the guest's stays loaded while the task keeps the CPU.
#pragma once

#include "vmx/ept.h"
#include "vmx/last_written_fields.h"

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

class ResidentSwitch {
 public:
	// Interrupts off, the vCPU's VMCS current.  @host: this CPU.
	[[gnu::always_inline]] Result<void> to_guest(const PinnedVmcs& vmcs, HostFields& fields,
						     const GuestMsrs& guest, const PerCpu& host)
	{
		return guest_is_in_ ? Result<void>() : bring_guest(vmcs, fields, guest, host);
	}

	// Preemption off; also from the scheduler's notifier.  An interrupt may come in between: its handler stays in the
	// kernel, which uses none of this state, and no other task runs.
	void to_host(GuestMsrs& guest)
	{
		if (!guest_is_in_)
			return;
		guest_is_in_ = false;
		// The guest's SWAPGS changes it without an exit.
		rdmsr_to_memory(msr::kKernelGsBase, guest.kernel_gs_base);

		const PerCpu& host = *host_;
		load(msr::kStar, guest.star, host.star);
		load(msr::kLstar, guest.lstar, host.lstar);
		load(msr::kCstar, guest.cstar, host.cstar);
		load(msr::kSfmask, guest.sfmask, host.sfmask);
		if (g_vmx.facts.rdtscp)
			load(msr::kTscAux, guest.tsc_aux, host.tsc_aux);

		if (any_selector()) [[unlikely]]
			load_selectors();
		wrmsr_from_memory(msr::kKernelGsBase, kernel_gs_base_);
		// VM-exit sets the limits of GDTR and IDTR to 64 KiB, and TR's to that of a minimal TSS (SDM Vol. 3C, 28.5.2).
		vrc_host_invalidate_tss_limit();
		write_gdtr(host.gdtr);
		write_idtr(host.idtr);
	}

	// For the guest's RDMSR and WRMSR, and for userspace.  Interrupts off: the CPU may hold either's value.
	u64 read(const GuestMsrs& guest, SwitchedMsr which) const
	{
		// The guest's SWAPGS changes it without an exit.
		if (guest_is_in_ && which.index == msr::kKernelGsBase)
			return rdmsr(msr::kKernelGsBase);
		return guest.*which.copy;
	}

	void write(GuestMsrs& guest, SwitchedMsr which, u64 value) const
	{
		guest.*which.copy = value;
		if (guest_is_in_)
			wrmsr(which.index, value);
	}

 private:
	// 64-bit tasks have null selectors.
	bool any_selector() const
	{
		u64 four;
		static_assert(sizeof(four) == sizeof(selectors_));
		__builtin_memcpy(&four, &selectors_, sizeof(four));
		return four || ldtr_;
	}

	VREGCACHE_COLD void load_selectors() const
	{
		// LDTR first: a selector may refer to the LDT.
		if (ldtr_)
			write_ldtr(ldtr_);
		vrc_host_load_selectors(selectors_.ds, selectors_.es, selectors_.fs, selectors_.gs);
		if (selectors_.fs)
			wrmsr(msr::kFsBase, fs_base_);
	}

	Result<void> bring_guest(const PinnedVmcs& vmcs, HostFields& fields, const GuestMsrs& guest,
				 const PerCpu& host)
	{
		selectors_.fs = read_fs();
		selectors_.gs = read_gs();
		selectors_.ds = read_ds();
		selectors_.es = read_es();
		ldtr_ = read_ldtr();
		fs_base_ = rdmsr(msr::kFsBase);
		rdmsr_to_memory(msr::kKernelGsBase, kernel_gs_base_);
		// VM-exit loads null selectors, with these bases.
		VREGCACHE_TRY(fields.fs_base.set(vmcs, fs_base_));

		host_ = &host;
		load(msr::kStar, host.star, guest.star);
		load(msr::kLstar, host.lstar, guest.lstar);
		load(msr::kCstar, host.cstar, guest.cstar);
		load(msr::kSfmask, host.sfmask, guest.sfmask);
		if (g_vmx.facts.rdtscp)
			load(msr::kTscAux, host.tsc_aux, guest.tsc_aux);
		wrmsr_from_memory(msr::kKernelGsBase, guest.kernel_gs_base);
		guest_is_in_ = true;
		return {};
	}

	// WRMSR is slow, and host and guest often have the same value.
	[[gnu::always_inline]] static void load(u32 index, const u64& from, const u64& to)
	{
		if (from != to)
			wrmsr_from_memory(index, to);
	}

	bool guest_is_in_ = false;
	const PerCpu* host_ = nullptr;  // the CPU that holds the guest's state
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
	u64 dr6 = 0xffff0ff0;  // after RESET (SDM Vol. 3A, table 10-1)
	u64 xcr0 = xcr0::kX87;
	u32 pkru = 0;
	// Without CR4.OSXSAVE and CR4.PKE the guest can neither see nor change XCR0 and PKRU, and the host's stay loaded.
	bool xcr0_in_use = false;
	bool pkru_in_use = false;

	// Interrupts off, before each to_guest().  True: the host's IA32_DEBUGCTL has changed.
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
	[[gnu::always_inline]] void to_guest(bool breakpoints)
	{
		// Linux reads CR2 first thing after a page fault, before any VM-entry, so its value need not be restored.
		if (cr2 != read_cr2())
			write_cr2(cr2);
		host_dr7_ = read_dr7();
		breakpoints_ = breakpoints;
		if (breakpoints)
			debug_registers_to_guest();
		if (pkru_in_use) {
			host_pkru_ = rdpkru();
			if (pkru != host_pkru_)
				wrpkru(pkru);
		}
		if (xcr0_in_use && xcr0 != g_vmx.host_xcr0)
			xsetbv(0, xcr0);
	}

	// Interrupts still off, just after VM-exit.
	[[gnu::always_inline]] void to_host()
	{
		if (xcr0_in_use && xcr0 != g_vmx.host_xcr0)
			xsetbv(0, g_vmx.host_xcr0);
		if (pkru_in_use) {
			pkru = rdpkru();
			if (pkru != host_pkru_)
				wrpkru(host_pkru_);
		}
		if (breakpoints_)
			debug_registers_to_host();
		// VM-exit has reset IA32_DEBUGCTL and DR7 (SDM Vol. 3C, 28.5.1).
		u64 control;
		__builtin_memcpy(&control, &host_debugctl_, sizeof(control));
		if (control)
			wrmsr(msr::kDebugctl, control);
		if (host_dr7_ != kDr7AfterExit)
			write_dr7(host_dr7_);
		cr2 = read_cr2();
	}

 private:
	static constexpr u64 kDr7AfterExit = 0x400;

	[[gnu::always_inline]] void debug_registers_to_guest()
	{
		host_dr_[0] = read_dr0();
		host_dr_[1] = read_dr1();
		host_dr_[2] = read_dr2();
		host_dr_[3] = read_dr3();
		host_dr6_ = read_dr6();
		// The host's DR7 must not enable a breakpoint at a guest address.
		write_dr7(kDr7AfterExit);
		write_dr0(dr[0]);
		write_dr1(dr[1]);
		write_dr2(dr[2]);
		write_dr3(dr[3]);
		write_dr6(dr6);
	}

	[[gnu::always_inline]] void debug_registers_to_host()
	{
		dr6 = read_dr6();
		write_dr0(host_dr_[0]);
		write_dr1(host_dr_[1]);
		write_dr2(host_dr_[2]);
		write_dr3(host_dr_[3]);
		write_dr6(host_dr6_);
	}

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
