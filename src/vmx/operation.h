// SPDX-License-Identifier: GPL-2.0
// VMX operation of each CPU.
//
// It has one of two owners.  Alone, we execute VMXON and VMXOFF, and the CPU's VMCS pointer is ours.  Beside KVM, KVM keeps each
// CPU in VMX operation, and the pointer is KVM's: we change it only with interrupts off, and put it back before they go on.
#pragma once

#include "linux/host.h"
#include "vmx/cpu.h"
#include "vmx/raw_vmx.h"

namespace {

class Vmcs;

// MSRs that neither VM-entry nor VM-exit loads.
struct HostMsrs {
	u64 star = 0;
	u64 lstar = 0;
	u64 cstar = 0;
	u64 sfmask = 0;
	u64 tsc_aux = 0;
	u64 tsx_ctrl = 0;

	// Of this CPU, as they are now.
	static HostMsrs read();
};

struct PerCpu {
	void* vmxon_region = nullptr;
	bool on = false;
	bool given_up = false;   // VMX stays off for good
	Vmcs* loaded = nullptr;  // head of the list; accessed on its own CPU with interrupts off
	u32 loaded_count = 0;    // its length
	u64 vmxons = 0;          // how often it has entered VMX operation, or we found it there

	// Interrupts off.  The VMCS of ours that the CPU's VMCS pointer names, if KVM has not changed it since; or kNone.
	VmcsId pointer = VmcsId::kNone;
	// KVM's VMCS, which the pointer named before; kNone if it named none of KVM's.
	VmcsId kvms = VmcsId::kNone;

	// Host values that stay the same while the CPU is up.
	HostMsrs msrs;
	bool msrs_known = false;
	DescriptorTable gdtr = {};
	DescriptorTable idtr = {};
};

// By CPU number.
extern PerCpu* g_per_cpu;

inline PerCpu& this_cpu() { return g_per_cpu[vrc_host_cpu()]; }

// 0: this CPU is in VMX operation.  -EAGAIN: it is going down, and the task will leave it.  -EIO: it has left for good.
inline int cpu_state();

}  // namespace
