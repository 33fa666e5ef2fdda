// SPDX-License-Identifier: GPL-2.0
// A virtual machine control structure, and the CPU where it is loaded.
#include "vmx/vmcs.h"

#include "vmx/capability.h"
#include "vmx/instructions.h"
#include "vmx/interrupts.h"
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

inline bool Vmcs::may_be_used_here() const
{
	const void* task = __atomic_load_n(&task_, __ATOMIC_RELAXED);
	return task && vrc_host_task_may_run_here(task);
}

inline Result<bool> Vmcs::load()
{
	unsigned cpu = vrc_host_cpu();
	unsigned from = home();
	if (from == cpu && current_vmcs() == id_)
		return false;
	bool moved = from != cpu;
	if (moved)
		clear();
	// Another guest may have trained the branch predictors of this CPU.
	vrc_host_prediction_barrier();
	InterruptsOff interrupts_off;
	if (!this_cpu().on)
		return Error::kNotCurrent;
	// A new region has no state that a CPU could load (SDM Vol. 3C, 25.11.3).
	if (!is_initialized_) {
		VREGCACHE_TRY(vmclear(static_cast<u64>(id_)));
		is_initialized_ = true;
	}
	VREGCACHE_TRY(vmptrld(static_cast<u64>(id_)));
	set_current_vmcs(id_);
	if (moved)
		enter_list(cpu);
	return moved;
}

inline void Vmcs::clear_here()
{
	if (!vmclear(static_cast<u64>(id_)).ok())
		vrc_host_warn("VMCLEAR of a VMCS in use failed");
	if (current_vmcs() == id_)
		set_current_vmcs(kNoCurrentVmcs);
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

inline void Vmcs::enter_list(unsigned cpu)
{
	PerCpu& home = g_per_cpu[cpu];
	cpu_ = cpu;
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
