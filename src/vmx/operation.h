// SPDX-License-Identifier: GPL-2.0
// VMX operation of each CPU, and which VMCSs are loaded where.
//
// A VMCS that was loaded on a CPU is partly inside that CPU until VMCLEAR (SDM Vol. 3C, 25.11.1), so each CPU keeps a list of
// those that it must clear before VMXOFF, and a VMCS that moves is cleared on the CPU that it leaves.
#pragma once

#include "vmx/capability.h"
#include "vmx/raw_vmx.h"

namespace {

class Vmcs;

struct PerCpu {
	void* vmxon_region = nullptr;
	bool on = false;
	bool given_up = false;   // VMX stays off for good
	Vmcs* loaded = nullptr;  // head of the list; accessed on its own CPU with interrupts off
	u32 loaded_count = 0;    // its length
	u64 vmxons = 0;

	// Host values that stay the same while the CPU is up.
	u64 star = 0;
	u64 lstar = 0;
	u64 cstar = 0;
	u64 sfmask = 0;
	u64 tsc_aux = 0;
	DescriptorTable gdtr = {};
	DescriptorTable idtr = {};
};

PerCpu* g_per_cpu;

inline PerCpu& this_cpu() { return g_per_cpu[vrc_host_cpu()]; }

// Turns interrupts off on this CPU, for a scope.
class InterruptsOff {
 public:
	InterruptsOff() : flags_(vrc_host_irq_save()) {}
	~InterruptsOff() { vrc_host_irq_restore(flags_); }
	InterruptsOff(const InterruptsOff&) = delete;
	InterruptsOff& operator=(const InterruptsOff&) = delete;

 private:
	unsigned long flags_;
};

// One VMCS region and the CPU where it is loaded.
class Vmcs {
 public:
	static constexpr unsigned kNowhere = ~0u;

	// Returns false if there is no memory.
	bool create()
	{
		region_ = static_cast<u32*>(vrc_host_alloc_page());
		if (!region_)
			return false;
		region_[0] = g_vmx.revision;
		id_ = VmcsId{vrc_host_physical(region_)};
		return true;
	}

	// May sleep.
	void destroy()
	{
		if (!region_)
			return;
		clear();
		vrc_host_free_page(region_);
		region_ = nullptr;
	}

	VmcsId id() const { return id_; }
	bool launched() const { return launched_; }
	void set_launched() { launched_ = true; }
	// The CPU where it is loaded, or kNowhere.
	unsigned home() const { return __atomic_load_n(&cpu_, __ATOMIC_ACQUIRE); }

	// The task that uses it now, or nullptr; vrc_host_vcpu_get() sets it.
	const void** task() { return &task_; }
	void forget_task() { __atomic_store_n(&task_, nullptr, __ATOMIC_RELAXED); }

	// On the CPU where it is loaded, interrupts off.  A task that exits is not freed before this CPU turns interrupts on.
	bool may_be_used_here() const
	{
		const void* task = __atomic_load_n(&task_, __ATOMIC_RELAXED);
		return task && vrc_host_task_may_run_here(task);
	}

	const Vmcs* next() const { return next_; }

	// The CPU where it is loaded.  Preemption off, while it is the current VMCS.
	const PerCpu& host() const { return *host_; }

	// Makes this the current VMCS of this CPU.  Preemption off, interrupts on.  True: it was not loaded here, so its
	// per-CPU host state is stale.  kNotCurrent: this CPU is not in VMX operation.
	Result<bool> load()
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

	// On the CPU where it is loaded, interrupts off.
	void clear_here()
	{
		if (!vmclear(static_cast<u64>(id_)).ok())
			vrc_host_warn("VMCLEAR of a VMCS in use failed");
		if (current_vmcs() == id_)
			set_current_vmcs(kNoCurrentVmcs);
		launched_ = false;
		leave_list();
	}

 private:
	// Clears it on the CPU where it is loaded, if any.
	void clear()
	{
		if (unsigned cpu = home(); cpu != kNowhere)
			vrc_host_on_cpu(cpu, clear_on_its_cpu, this);
	}

	static void clear_on_its_cpu(void* self)
	{
		Vmcs* vmcs = static_cast<Vmcs*>(self);
		// The CPU may have gone down meanwhile, and cleared it.
		if (vmcs->home() == vrc_host_cpu())
			vmcs->clear_here();
	}

	void enter_list(unsigned cpu)
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

	void leave_list()
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

	u32* region_ = nullptr;
	VmcsId id_ = VmcsId::kNone;
	unsigned cpu_ = kNowhere;
	const PerCpu* host_ = nullptr;
	bool is_initialized_ = false;
	bool launched_ = false;
	const void* task_ = nullptr;
	Vmcs* next_ = nullptr;
	Vmcs* previous_ = nullptr;
};

}  // namespace
