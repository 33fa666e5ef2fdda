// SPDX-License-Identifier: GPL-2.0
// A virtual machine control structure, and the CPU where it is loaded.
#include "vmx/vmcs.h"

#include "vmx/capability.h"
#include "vmx/instructions.h"
#include "vmx/raw_vmx.h"

namespace {

inline bool Vmcs::create()
{
	region_ = static_cast<u32*>(vrc_host_alloc_page());
	if (!region_)
		return false;
	region_[0] = g_vmx.revision;
	id_ = VmcsId{vrc_host_physical(region_)};
	return true;
}

inline void Vmcs::destroy()
{
	if (!region_)
		return;
	clear();
	vrc_host_free_page(region_);
	region_ = nullptr;
}

// Another guest may have trained the branch predictors of this CPU, so a barrier comes before VMPTRLD.
inline Result<bool> Vmcs::point_here(PerCpu& cpu, bool others_ran)
{
	if (g_vmx.beside_kvm)
		return point_here_beside_kvm(cpu, others_ran);
	if (cpu.pointer == id_)
		return false;
	vrc_host_prediction_barrier();
	VREGCACHE_TRY(vmptrld(static_cast<u64>(id_)));
	cpu.pointer = id_;
	return true;
}

inline Result<bool> Vmcs::point_here_beside_kvm(PerCpu& cpu, bool others_ran)
{
	cpu.kvms = VmcsId::kNone;
	if (!others_ran && cpu.pointer == id_)
		return false;
	const VmcsId found{VREGCACHE_TRY(vmptrst())};
	const bool is_ours = found == cpu.pointer;
	if (is_ours && found == id_)
		return false;
	if (others_ran)
		vrc_host_prediction_barrier();
	VREGCACHE_TRY(vmptrld(static_cast<u64>(id_)));
	cpu.pointer = id_;
	if (!is_ours)
		cpu.kvms = found;
	return true;
}

inline Result<Vmcs::Begun> Vmcs::begin(bool others_ran)
{
	PerCpu& cpu = this_cpu();
	if (!cpu.on)
		return Error::kNotCurrent;
	// A new region has no state that a CPU could load (SDM Vol. 3C, 25.11.3).
	if (!is_initialized_) {
		VREGCACHE_TRY(vmclear(static_cast<u64>(id_)));
		is_initialized_ = true;
	}
	Begun begun;
	begun.loaded = VREGCACHE_TRY(point_here(cpu, others_ran));
	begun.moved = home() == kNowhere;
	if (begun.moved)
		enter_list(cpu);
	set_current_vmcs(id_);
	return begun;
}

VREGCACHE_OUT_OF_LINE void Vmcs::end_beside_kvm()
{
	set_current_vmcs(kNoCurrentVmcs);
	if (host_->kvms == VmcsId::kNone)
		return;
	// It fails only if a crash has ended VMX operation.
	(void)vmptrld(static_cast<u64>(host_->kvms));
	host_->kvms = host_->pointer = VmcsId::kNone;
}

inline void Vmcs::clear_here()
{
	// If KVM's VMCS is current, it stays so.
	if (!vmclear(static_cast<u64>(id_)).ok())
		vrc_host_warn("VMCLEAR of a VMCS in use failed");
	if (host_->pointer == id_) {
		host_->pointer = VmcsId::kNone;
		set_current_vmcs(kNoCurrentVmcs);
	}
	launched_ = false;
	leave_list();
}

inline void Vmcs::clear()
{
	if (unsigned cpu = home(); cpu != kNowhere)
		vrc_host_on_cpu(cpu, clear_on_its_cpu, this);
}

inline void Vmcs::clear_on_its_cpu(void* self)
{
	Vmcs* vmcs = static_cast<Vmcs*>(self);
	// The CPU may have gone down meanwhile, and cleared it.
	if (vmcs->home() == vrc_host_cpu())
		vmcs->clear_here();
}

inline void Vmcs::enter_list(PerCpu& home)
{
	cpu_ = vrc_host_cpu();
	host_ = &home;
	previous_ = nullptr;
	next_ = home.loaded;
	if (next_)
		next_->previous_ = this;
	home.loaded = this;
	home.loaded_count++;
}

inline void Vmcs::leave_list()
{
	if (previous_)
		previous_->next_ = next_;
	else
		g_per_cpu[cpu_].loaded = next_;
	if (next_)
		next_->previous_ = previous_;
	g_per_cpu[cpu_].loaded_count--;
	next_ = previous_ = nullptr;
	// Last: another CPU that reads this may load the VMCS.
	__atomic_store_n(&cpu_, kNowhere, __ATOMIC_RELEASE);
}

}  // namespace
