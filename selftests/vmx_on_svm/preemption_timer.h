// SPDX-License-Identifier: GPL-2.0
// The VMX-preemption timer.  SDM Vol. 3C, section 26.5.1.
//
// The local APIC's timer ends the guest's run, by an NMI: QEMU's honours the delivery mode of its LVT entry as that of any other.
// It is root software's again after each VM-exit.  What that has programmed goes on meanwhile: its interrupt comes in time, and
// at VM-exit the rest of the count is loaded.
#ifndef VMX_ON_SVM_PREEMPTION_TIMER_H
#define VMX_ON_SVM_PREEMPTION_TIMER_H

#include "nmi.h"

namespace {

constexpr u32 kLvtMasked = bit(16), kLvtPeriodic = bit(17), kLvtVector = 0xff;
constexpr u32 kDivideBy1 = 0xb;

// Counts of the APIC's timer with a divisor of 1 for one of the TSC, and the other way round.  Fixed-point numbers with 32 bits
// behind the point.
u64 g_apic_per_tsc, g_tsc_per_apic;

inline u64 multiply(u64 count, u64 rate)
{
	return static_cast<u64>(static_cast<unsigned __int128>(count) * rate >> 32);
}

inline u64 apic_counts(u64 tsc) { return multiply(tsc, g_apic_per_tsc); }
inline u64 tsc_counts(u64 apic) { return multiply(apic, g_tsc_per_apic); }

// Once, before anything uses the timer.
inline void measure_apic_timer()
{
	constexpr u32 kMeasured = 200'000;
	const u32 lvt = read_apic(kApicTimer), divide = read_apic(kApicDivide);

	change_apic(kApicTimer, kLvtMasked);
	change_apic(kApicDivide, kDivideBy1);
	change_apic(kApicInitialCount, ~u32{0});
	const u64 begin = rdtsc();
	u32 counted;
	do {
		counted = ~read_apic(kApicCurrentCount);
	} while (counted < kMeasured);
	const u64 passed = rdtsc() - begin;
	g_apic_per_tsc = (u64{counted} << 32) / passed;
	g_tsc_per_apic = (passed << 32) / counted;
	change_apic(kApicInitialCount, 0);
	change_apic(kApicDivide, divide);
	change_apic(kApicTimer, lvt);
}

constexpr unsigned apic_divisor(u32 divide)
{
	const unsigned value = (divide & 3) | (divide >> 1 & 4);
	return value == 7 ? 1 : 2u << value;
}

inline bool preemption_timer_expired(const Cpu& cpu)
{
	return cpu.preemption_timer.active && rdtsc() >= cpu.preemption_timer.deadline;
}

// Up to this many counts of the TSC ahead of the deadline the monitor looks at each RDTSC, and not sooner.
constexpr u64 kNear = bit(30);

inline bool preemption_timer_is_near(const Cpu& cpu)
{
	return cpu.preemption_timer.active && cpu.preemption_timer.deadline < rdtsc() + kNear;
}

// At VM-entry.
inline void start_preemption_timer(Cpu& cpu)
{
	PreemptionTimer& timer = cpu.preemption_timer;
	const u64 value = cpu.read(Field::PreemptionTimer);

	timer.active = cpu.pin_controls & kPinPreemptionTimer;
	timer.root_comes_first = false;
	timer.deadline = ((rdtsc() >> kPreemptionTimerRate) + value) << kPreemptionTimerRate;
}

// What the VMCS field is to hold now.
inline u64 preemption_timer_left(const Cpu& cpu)
{
	const u64 now = rdtsc() >> kPreemptionTimerRate, end = cpu.preemption_timer.deadline >> kPreemptionTimerRate;
	return now < end ? end - now : 0;
}

// Counts up to the end of a period of root software's timer, where it would be if the timer had not been restarted in mid-period.
inline u64 late_period_left(PreemptionTimer& timer, u64 now)
{
	const u64 period = tsc_counts(u64{timer.root_initial} * apic_divisor(timer.root_divide));
	// Those that ended while root software ran.
	const u64 ended = period ? (now - timer.root_restarted) / period : 0;
	timer.root_restarted += ended * period;
	timer.root_deadline += ended * period;
	return (timer.root_deadline > now ? apic_counts(timer.root_deadline - now) : 0) + 1;
}

// That of root software's timer.
inline void send_root_interrupt(Cpu& cpu)
{
	const u32 lvt = cpu.preemption_timer.root_lvt;
	if (!(lvt & kLvtMasked))
		send_interprocessor_interrupt(cpu.apic_id, (lvt & kLvtVector) | kLevelAssert);
}

// Before the guest runs or halts: an NMI comes at the deadline at the latest.
inline void arm_preemption_timer(Cpu& cpu)
{
	PreemptionTimer& timer = cpu.preemption_timer;
	if (!timer.active || timer.armed || timer.root_comes_first)
		return;

	timer.root_lvt = read_apic(kApicTimer);
	timer.root_initial = read_apic(kApicInitialCount);
	timer.root_divide = read_apic(kApicDivide);
	timer.root_left = u64{read_apic(kApicCurrentCount)} * apic_divisor(timer.root_divide);
	if (timer.root_initial && !timer.root_left) {
		// It has reached zero, but QEMU may not have raised the interrupt yet, and would forget it.  Once too often does no harm.
		change_apic(kApicInitialCount, 0);
		send_root_interrupt(cpu);
	}
	const u64 now = rdtsc();
	if (timer.root_deadline && timer.root_left)
		timer.root_left = late_period_left(timer, now);
	// The first NMI comes when the deadline is near.
	u64 left = now < timer.deadline ? timer.deadline - now : 0;
	if (left >= kNear)
		left -= kNear / 2;
	u64 count = apic_counts(left) + 1;
	const bool root_interrupts = timer.root_left && !(timer.root_lvt & kLvtMasked);
	if (root_interrupts && timer.root_left <= count) {
		if (!timer.root_deadline && (cpu.pin_controls & kPinExternalInterruptExiting)) {
			timer.root_comes_first = true;
			return;
		}
		count = timer.root_left;
	}
	timer.armed_count = count < ~u32{0} ? static_cast<u32>(count) : ~u32{0};
	timer.armed = true;
	change_apic(kApicTimer, kLvtMasked);
	change_apic(kApicDivide, kDivideBy1);
	change_apic(kApicTimer, kDeliverNmi);
	change_apic(kApicInitialCount, timer.armed_count);
}

// Gives root software its timer back, and its interrupt if that is due.  An NMI that the timer has sent is taken.
inline void disarm_preemption_timer(Cpu& cpu)
{
	PreemptionTimer& timer = cpu.preemption_timer;
	if (!timer.armed)
		return;
	timer.armed = false;

	change_apic(kApicTimer, kLvtMasked);
	const u32 left = read_apic(kApicCurrentCount);
	change_apic(kApicInitialCount, 0);
	if (!left)
		take_own_nmi(cpu);

	const u64 passed = timer.armed_count - left;
	const bool due = timer.root_left && passed >= timer.root_left;
	const bool periodic = timer.root_lvt & kLvtPeriodic;
	change_apic(kApicDivide, timer.root_divide);
	change_apic(kApicTimer, timer.root_lvt);
	if (due)
		send_root_interrupt(cpu);
	if (!timer.root_left || (due && !periodic))
		return;
	const unsigned divisor = apic_divisor(timer.root_divide);
	if (!periodic) {
		const u64 rest = (timer.root_left - passed) / divisor;
		change_apic(kApicInitialCount, rest ? static_cast<u32>(rest) : 1);
		return;
	}
	change_apic(kApicInitialCount, timer.root_initial);
	// That root software writes the timer anew is seen in xAPIC mode only.
	if (in_x2apic_mode())
		return;
	const u64 period = u64{timer.root_initial} * divisor;
	timer.root_restarted = rdtsc();
	timer.root_deadline = timer.root_restarted + tsc_counts((due ? period : 0) + timer.root_left - passed);
}

// After an NMI.  False if it is not the timer's.
inline bool take_preemption_nmi(Cpu& cpu)
{
	if (!cpu.preemption_timer.armed || read_apic(kApicCurrentCount))
		return false;
	disarm_preemption_timer(cpu);
	return true;
}

}  // namespace

#endif
