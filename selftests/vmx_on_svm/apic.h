// SPDX-License-Identifier: GPL-2.0
// The local APIC: interprocessor interrupts, and the commands of root software and guests that start and reset CPUs.
// SDM Vol. 3A, chapter 11, and section 9.4.
//
// A SIPI goes to the start-up page, which leads the CPU to the monitor: the vector that was meant is recorded here.  An INIT is
// passed on, and takes the CPU out of the monitor wherever it is, so no CPU may hold anything that another one waits for.  Held
// back are INITs to a CPU in VMX operation, and to the boot CPU, which the machine would start outside of the monitor.
#ifndef VMX_ON_SVM_APIC_H
#define VMX_ON_SVM_APIC_H

#include "cpu.h"

namespace {

constexpr u64 kApicPage = 0xfee00000;
constexpr u64 kApicId = 0x20, kApicCommand = 0x300, kApicDestination = 0x310, kApicTimer = 0x320,
	      kApicInitialCount = 0x380, kApicCurrentCount = 0x390, kApicDivide = 0x3e0;
constexpr u64 kApicBaseBootCpu = bit(8), kApicBaseX2apic = bit(10);

constexpr u32 kDeliveryMode = 7 << 8, kDeliverNmi = 4 << 8, kDeliverInit = 5 << 8, kDeliverStartup = 6 << 8;
constexpr u32 kDestinationLogical = bit(11), kDeliveryPending = bit(12), kLevelAssert = bit(14),
	      kTriggerLevel = bit(15);
constexpr u32 kShorthand = 3 << 18, kShorthandSelf = 1 << 18, kShorthandAll = 2 << 18, kShorthandOthers = 3 << 18;

u8 g_start_vector[256];  // by APIC ID

inline volatile u32& apic(u64 offset) { return *at<volatile u32>(kApicPage + offset); }

inline bool in_x2apic_mode() { return rdmsr(kMsrApicBase) & kApicBaseX2apic; }

inline u32 read_apic(u64 offset)
{
	return in_x2apic_mode() ? static_cast<u32>(rdmsr(kMsrX2apicFirst + offset / 16)) : apic(offset);
}

inline void change_apic(u64 offset, u32 value)
{
	if (in_x2apic_mode())
		wrmsr(kMsrX2apicFirst + offset / 16, value);
	else
		apic(offset) = value;
}

inline void wait_for_apic()
{
	while (apic(kApicCommand) & kDeliveryPending)
		asm volatile("pause");
}

// Sends it to one CPU.  The command has been accepted on return.
inline void send_interprocessor_interrupt(u32 apic_id, u32 command)
{
	if (in_x2apic_mode()) {
		wrmsr(kMsrX2apicInterruptCommand, u64{apic_id} << 32 | command);
		return;
	}
	wait_for_apic();
	const u32 saved = apic(kApicDestination);
	apic(kApicDestination) = apic_id << 24;
	apic(kApicCommand) = command;
	wait_for_apic();
	apic(kApicDestination) = saved;
}

inline void send_nmi(u32 apic_id) { send_interprocessor_interrupt(apic_id, kDeliverNmi | kLevelAssert); }

// SDM Vol. 3C, section 25.8: VMX root operation blocks INIT, and non-root operation exits.  The boot CPU is reset by its monitor.
inline void send_init(Cpu& target)
{
	if (target.started && (target.vmxon || target.boot_cpu)) {
		__atomic_store_n(&target.init_pending, true, __ATOMIC_SEQ_CST);
		if (target.in_guest || !target.vmxon)
			send_nmi(target.apic_id);
		return;
	}
	target.started = false;
	send_interprocessor_interrupt(target.apic_id, kDeliverInit | kLevelAssert);
}

// A SIPI.  A CPU that does not wait for one ignores it.  SDM Vol. 3C, section 26.2.
inline void send_startup(Cpu& target, u8 vector, bool logical)
{
	if (target.started && target.in_guest) {
		if (logical || __atomic_load_n(&target.activity, __ATOMIC_SEQ_CST) != kActivityWaitForSipi)
			return;
		__atomic_store_n(&target.sipi, kSipiValid | vector, __ATOMIC_SEQ_CST);
		send_nmi(target.apic_id);
		return;
	}
	g_start_vector[target.apic_id] = vector;
}

// Whether one was held back.  It is not any more.
inline bool take_init(Cpu& cpu) { return __atomic_exchange_n(&cpu.init_pending, false, __ATOMIC_SEQ_CST); }

// A write to the interrupt-command register.  @destination: an APIC ID, or one with all bits set for all CPUs.  Returns false if
// the command has been carried out; otherwise the register is to be written with @command.
inline bool filter_interrupt_command(const Cpu& sender, u32 destination, bool broadcast, u32& command)
{
	const u32 shorthand = command & kShorthand;
	const bool one = !shorthand && !broadcast && !(command & kDestinationLogical);
	auto for_each_target = [&](auto visit) {
		for (u32 id = 0; id < g_cpu_limit; ++id) {
			const bool meant = shorthand == kShorthandSelf     ? id == sender.apic_id
					   : shorthand == kShorthandOthers ? id != sender.apic_id
									   : !one || id == destination;
			if (!meant)
				continue;
			Cpu& target = cpu_by_id(id);
			target.apic_id = id;
			visit(target);
		}
	};

	switch (command & kDeliveryMode) {
	case kDeliverStartup:
		// A logical destination may be any CPU, and a vector too many does no harm.
		for_each_target(
			[&](Cpu& target) { send_startup(target, command & 0xff, command & kDestinationLogical); });
		command = (command & ~0xffu) | g_start_page / kPageBytes;
		return true;
	case kDeliverInit:
		// A de-assert has no effect on a CPU.  Logical destinations are left to the machine.
		if ((command & kDestinationLogical) || ((command & kTriggerLevel) && !(command & kLevelAssert)))
			return true;
		for_each_target([](Cpu& target) { send_init(target); });
		return false;
	case kDeliverNmi:
		for_each_target([](Cpu& target) { __atomic_store_n(&target.nmi_sent, true, __ATOMIC_SEQ_CST); });
		return true;
	default:
		return true;
	}
}

inline void write_x2apic_command(const Cpu& sender, u64 value)
{
	u32 command = static_cast<u32>(value);
	const u32 destination = value >> 32;
	if (filter_interrupt_command(sender, destination, destination == ~u32{0}, command))
		wrmsr(kMsrX2apicInterruptCommand, u64{destination} << 32 | command);
}

inline void write_apic(Cpu& sender, u64 offset, u32 value)
{
	if (offset == kApicTimer || offset == kApicInitialCount || offset == kApicDivide)
		sender.preemption_timer.root_deadline = 0;
	if (offset == kApicCommand) {
		const u32 destination = apic(kApicDestination) >> 24;
		if (!filter_interrupt_command(sender, destination, destination == 0xff, value))
			return;
	}
	apic(offset) = value;
}

}  // namespace

#endif
