// SPDX-License-Identifier: GPL-2.0
// A virtual machine control structure, and the CPU where it is loaded.
//
// A VMCS that was loaded on a CPU is partly inside that CPU until VMCLEAR (SDM Vol. 3C, 25.11.1), so each CPU keeps a list of
// those that it must clear before VMXOFF, and a VMCS that moves is cleared on the CPU that it leaves.
#pragma once

#include "vmx/operation.h"
#include "vmx/types.h"

namespace {

class Vmcs {
 public:
	static constexpr unsigned kNowhere = ~0u;

	// Returns false if there is no memory.
	bool create();

	// May sleep.
	void destroy();

	VmcsId id() const { return id_; }
	// Always inlined, because noinstr code uses it (vcpu/transition.cc).
	[[gnu::always_inline]] bool launched() const { return launched_; }
	void set_launched() { launched_ = true; }
	// The CPU where it is loaded, or kNowhere.
	unsigned home() const { return __atomic_load_n(&cpu_, __ATOMIC_ACQUIRE); }

	// The task that uses it now, or nullptr; vrc_host_notify_begin() sets it.
	const void** task() { return &task_; }
	void forget_task() { __atomic_store_n(&task_, nullptr, __ATOMIC_RELAXED); }

	// On the CPU where it is loaded, interrupts off.  A task that exits is not freed before this CPU turns interrupts on.
	bool may_be_used_here() const;

	// The next VMCS that is loaded on its CPU.
	const Vmcs* next() const { return next_; }

	// The CPU where it is loaded.  Preemption off, while it is the current VMCS.
	const PerCpu& host() const { return *host_; }

	// Makes this the current VMCS of this CPU.  Preemption off, interrupts on.  Returns true if it was not loaded here, so
	// its per-CPU host state is stale; kNotCurrent if this CPU is not in VMX operation.
	Result<bool> load();

	// On the CPU where it is loaded, interrupts off.
	void clear_here();

 private:
	// Clears it on the CPU where it is loaded, if any.
	void clear();
	static void clear_on_its_cpu(void* self);
	void enter_list(unsigned cpu);
	void leave_list();

	u32* region_ = nullptr;
	VmcsId id_ = VmcsId::kNone;
	unsigned cpu_ = kNowhere;
	const PerCpu* host_ = nullptr;
	bool is_initialized_ = false;
	bool launched_ = false;
	const void* task_ = nullptr;
	Vmcs* next_ = nullptr;  // in the list of its CPU
	Vmcs* previous_ = nullptr;
};

}  // namespace
