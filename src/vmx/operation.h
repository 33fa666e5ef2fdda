// SPDX-License-Identifier: GPL-2.0
// VMX operation of each CPU.
#pragma once

#include "linux/host.h"
#include "vmx/cpu.h"

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

// By CPU number.
extern PerCpu* g_per_cpu;

inline PerCpu& this_cpu() { return g_per_cpu[vrc_host_cpu()]; }

// 0: this CPU is in VMX operation.  -EAGAIN: it is going down, and the task will leave it.  -EIO: it has left for good.
inline int cpu_state();

}  // namespace
