// SPDX-License-Identifier: GPL-2.0
// Turns interrupts off and on.
//
// With CONFIG_TRACE_IRQFLAGS the kernel keeps a record, so only the kernel's functions can do it.  Otherwise the instructions
// are enough: a kernel that replaces them, such as a Xen guest's, has no VMX.
#pragma once

#include "linux/host.h"

namespace {

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

// The same without a call, where the kernel keeps no record.
#ifdef CONFIG_TRACE_IRQFLAGS
using RawInterruptsOff = InterruptsOff;
#else
class RawInterruptsOff {
 public:
	RawInterruptsOff() { asm volatile("pushf; pop %0; cli" : "=r"(flags_) : : "memory"); }
	~RawInterruptsOff() { asm volatile("push %0; popf" : : "r"(flags_) : "memory", "cc"); }
	RawInterruptsOff(const RawInterruptsOff&) = delete;
	RawInterruptsOff& operator=(const RawInterruptsOff&) = delete;

 private:
	unsigned long flags_;
};
#endif

// After vrc_host_entry_begin().
[[gnu::always_inline]] inline void turn_interrupts_on()
{
#ifdef CONFIG_TRACE_IRQFLAGS
	vrc_host_entry_end();
#else
	asm volatile("sti" : : : "memory");
#endif
}

}  // namespace
