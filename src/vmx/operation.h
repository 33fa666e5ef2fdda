// SPDX-License-Identifier: GPL-2.0
// VMX operation of each CPU.
#pragma once

#include "vmx/capability.h"

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

// The same by one instruction, without the kernel's records of it, for code that calls no function of the kernel.
class RawInterruptsOff {
 public:
	RawInterruptsOff() { asm volatile("pushf; pop %0; cli" : "=r"(flags_) : : "memory"); }
	~RawInterruptsOff() { asm volatile("push %0; popf" : : "r"(flags_) : "memory", "cc"); }
	RawInterruptsOff(const RawInterruptsOff&) = delete;
	RawInterruptsOff& operator=(const RawInterruptsOff&) = delete;

 private:
	unsigned long flags_;
};

// 0: this CPU is in VMX operation.  -EAGAIN: it is going down, and the task will leave it.  -EIO: it has left for good.
inline int cpu_state();

}  // namespace
