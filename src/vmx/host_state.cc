// SPDX-License-Identifier: GPL-2.0
// Switching between host and guest state.
#include "vmx/host_state.h"

#include "vmx/architecture.h"
#include "vmx/capability.h"
#include "vmx/cpu.h"

namespace {

[[gnu::always_inline]] inline void LoadSwitch::to_host(GuestMsrs& guest)
{
	if (!guest_is_in_)
		return;
	guest_is_in_ = false;
	// The guest's SWAPGS changes it without an exit.
	rdmsr_to_memory(msr::kKernelGsBase, guest.kernel_gs_base);

	const PerCpu& host = *host_;
	const HostMsrs& msrs = *msrs_;
	load(msr::kStar, guest.star, msrs.star);
	load(msr::kLstar, guest.lstar, msrs.lstar);
	load(msr::kCstar, guest.cstar, msrs.cstar);
	load(msr::kSfmask, guest.sfmask, msrs.sfmask);
	if (g_vmx.facts.rdtscp)
		load(msr::kTscAux, guest.tsc_aux, msrs.tsc_aux);
	if (&msrs == &found_ && host.msrs_known) [[unlikely]]
		load(msr::kTsxCtrl, host.msrs.tsx_ctrl, msrs.tsx_ctrl);

	if (any_selector()) [[unlikely]]
		load_selectors();
	wrmsr_from_memory(msr::kKernelGsBase, kernel_gs_base_);
	// VM-exit sets the limits of GDTR and IDTR to 64 KiB, and TR's to that of a minimal TSS (SDM Vol. 3C, 28.5.2).
	vrc_host_invalidate_tss_limit();
	write_gdtr(host.gdtr);
	write_idtr(host.idtr);
}

inline u64 LoadSwitch::read(const GuestMsrs& guest, SwitchedMsr which) const
{
	// The guest's SWAPGS changes it without an exit.
	if (guest_is_in_ && which.index == msr::kKernelGsBase)
		return rdmsr(msr::kKernelGsBase);
	return guest.*which.copy;
}

inline void LoadSwitch::write(GuestMsrs& guest, SwitchedMsr which, u64 value) const
{
	guest.*which.copy = value;
	if (guest_is_in_)
		wrmsr(which.index, value);
}

inline bool LoadSwitch::any_selector() const
{
	u64 four;
	static_assert(sizeof(four) == sizeof(selectors_));
	__builtin_memcpy(&four, &selectors_, sizeof(four));
	return four || ldtr_;
}

VREGCACHE_COLD void LoadSwitch::load_selectors() const
{
	// LDTR first: a selector may refer to the LDT.
	if (ldtr_)
		write_ldtr(ldtr_);
	vrc_host_load_selectors(selectors_.ds, selectors_.es, selectors_.fs, selectors_.gs);
	if (selectors_.fs)
		wrmsr(msr::kFsBase, fs_base_);
}

// KVM leaves its guest's values in the CPU until some task returns to userspace there, and does not write those that its record
// says are there.  So exactly what is found is put back.  IA32_TSX_CTRL is the host's for our guests.
VREGCACHE_COLD const HostMsrs& LoadSwitch::find_host_msrs(PerCpu& host)
{
	if (vrc_host_kvm_msrs_in_cpu()) {
		found_ = HostMsrs::read();
		if (host.msrs_known)
			load(msr::kTsxCtrl, found_.tsx_ctrl, host.msrs.tsx_ctrl);
		return found_;
	}
	if (!host.msrs_known) {
		host.msrs = HostMsrs::read();
		host.msrs_known = true;
	}
	return host.msrs;
}

inline Result<void> LoadSwitch::bring_guest(const PinnedVmcs& vmcs, HostFields& fields, const GuestMsrs& guest,
					    PerCpu& host)
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
	msrs_ = &host.msrs;
	if (g_vmx.beside_kvm) [[unlikely]]
		msrs_ = &find_host_msrs(host);
	const HostMsrs& msrs = *msrs_;
	load(msr::kStar, msrs.star, guest.star);
	load(msr::kLstar, msrs.lstar, guest.lstar);
	load(msr::kCstar, msrs.cstar, guest.cstar);
	load(msr::kSfmask, msrs.sfmask, guest.sfmask);
	if (g_vmx.facts.rdtscp)
		load(msr::kTscAux, msrs.tsc_aux, guest.tsc_aux);
	wrmsr_from_memory(msr::kKernelGsBase, guest.kernel_gs_base);
	guest_is_in_ = true;
	return {};
}

inline void EntrySwitch::to_guest(bool breakpoints)
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

inline void EntrySwitch::to_host()
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

inline void EntrySwitch::debug_registers_to_guest()
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

inline void EntrySwitch::debug_registers_to_host()
{
	dr6 = read_dr6();
	write_dr0(host_dr_[0]);
	write_dr1(host_dr_[1]);
	write_dr2(host_dr_[2]);
	write_dr3(host_dr_[3]);
	write_dr6(host_dr6_);
}

}  // namespace
