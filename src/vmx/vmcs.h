// SPDX-License-Identifier: GPL-2.0
// A virtual machine control structure, the CPU where it is active, and when it is current there.
//
// A VMCS that was loaded on a CPU is partly inside that CPU until VMCLEAR (SDM Vol. 3C, 25.11.1), so each CPU keeps a list of
// those that it must clear before VMX operation ends, and a VMCS that moves is cleared on the CPU that it leaves.
//
// Beside KVM ours is current only while interrupts are off.  KVM keeps a record of the CPU's VMCS pointer and executes VMPTRLD
// only if the record differs, so the pointer must be KVM's whenever KVM's code can run: in another task, in another ioctl of this
// task, or in an interrupt, where KVM clears a VMCS that moves to another CPU.  If the pointer named none of KVM's, ours
// stays there: KVM's record is empty then, and it executes VMPTRLD first.
#pragma once

#include "vmx/capability.h"
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

	bool is_elsewhere() const { return home() != kNowhere && home() != vrc_host_cpu(); }

	// The CPU where it is loaded.  Interrupts off, while it is the current VMCS.
	PerCpu& host() const { return *host_; }

	// What begin() had to do.
	struct Begun {
		bool loaded = false;  // VMPTRLD
		bool moved = false;   // it was not active on this CPU, so its per-CPU host state is stale
	};

	// Makes this the current VMCS of this CPU, until end().  Interrupts off, and not active on another CPU.
	// @others_ran: since the last end(), another task or another ioctl of this task may have run on this CPU.
	// Error::kNotCurrent: this CPU is not in VMX operation.
	Result<Begun> begin(bool others_ran);
	void end()
	{
		// Alone it stays current until another one of ours is.
		if (g_vmx.beside_kvm) [[unlikely]]
			end_beside_kvm();
	}

	// Clears it on the CPU where it is loaded, if any.  Interrupts on.
	void clear();
	// On the CPU where it is loaded, interrupts off; not between begin() and end().
	void clear_here();

 private:
	Result<bool> point_here(PerCpu& cpu, bool others_ran);
	Result<bool> point_here_beside_kvm(PerCpu& cpu, bool others_ran);
	void end_beside_kvm();
	static void clear_on_its_cpu(void* self);
	void enter_list(PerCpu& home);
	void leave_list();

	u32* region_ = nullptr;
	VmcsId id_ = VmcsId::kNone;
	unsigned cpu_ = kNowhere;
	PerCpu* host_ = nullptr;
	bool is_initialized_ = false;
	bool launched_ = false;
	Vmcs* next_ = nullptr;  // in the list of its CPU
	Vmcs* previous_ = nullptr;
};

}  // namespace
