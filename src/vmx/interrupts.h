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

#ifdef CONFIG_TRACE_IRQFLAGS
inline void turn_interrupts_off() { vrc_host_irq_disable(); }
inline void turn_interrupts_on() { vrc_host_irq_enable(); }
#else
[[gnu::always_inline]] inline void turn_interrupts_off() { asm volatile("cli" : : : "memory"); }
[[gnu::always_inline]] inline void turn_interrupts_on() { asm volatile("sti" : : : "memory"); }
#endif

}  // namespace
