/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The names of registers, exit reasons and others in trace events (C) and tables (C++). Only macros: the format of a
 * trace event needs literals. src/instrument/names.cc checks the numbers against those of the C++ enumerations.
 */
#ifndef VREGCACHE_LINUX_NAMES_H
#define VREGCACHE_LINUX_NAMES_H

#include "../../include/vregcache/registers.def"

/*
 * X(number, mask, name, register) for each register, with commas in between.  The mask is the register's bit in its
 * half of a set: libtraceevent cannot distinguish bit 63 from a sign, so a set is printed in halves.
 */
#define VRC_LOWER_REGISTERS(X) VREGCACHE_PLAIN_REGISTERS(VRC_REGISTER, X)
#define VRC_SEGMENT_REGISTERS(X) VREGCACHE_SEGMENTS(VRC_SEGMENT, X)
#define VRC_REGISTERS(X) VRC_LOWER_REGISTERS(X), VRC_SEGMENT_REGISTERS(X)

#define VRC_REGISTER(X, number, name, reg, field) X(number, 1UL << (number), name, Reg::reg)
/* Its four parts are one hexadecimal digit. */
/* NOLINTBEGIN(bugprone-macro-parentheses): names are no expressions. */
#define VRC_SEGMENT(X, a, b, c, d, zeros, name, segment)						\
	X(a, 0x1##zeros, name.selector, segment_register(Segment::segment, SegmentPart::kSelector)),	\
	X(b, 0x2##zeros, name.base, segment_register(Segment::segment, SegmentPart::kBase)),		\
	X(c, 0x4##zeros, name.limit, segment_register(Segment::segment, SegmentPart::kLimit)),		\
	X(d, 0x8##zeros, name.access_rights, segment_register(Segment::segment, SegmentPart::kAccessRights))
/* NOLINTEND(bugprone-macro-parentheses) */

/* X(mask, name) for groups of registers that come and go together: the larger before those that it holds. */
#define VRC_LOWER_GROUPS(X)				\
	X(0x7fe00000UL, exit_information),		\
	X(0x1e000UL, pdptes)

#define VRC_SEGMENT_GROUPS(X)				\
	X(0xffffffffUL, segments),			\
	X(0xfUL, es),					\
	X(0xf0UL, cs),					\
	X(0xf00UL, ss),					\
	X(0xf000UL, ds),				\
	X(0xf0000UL, fs),				\
	X(0xf00000UL, gs),				\
	X(0xf000000UL, ldtr),				\
	X(0xf0000000UL, tr)

/* X(number, name, constant) for those of the basic exit reasons that have a name, in enum class ExitReason. */
#define VRC_EXIT_REASONS(X)					\
	X(0, exception_nmi, kExceptionOrNmi),			\
	X(1, external_interrupt, kExternalInterrupt),		\
	X(2, triple_fault, kTripleFault),			\
	X(7, interrupt_window, kInterruptWindow),		\
	X(8, nmi_window, kNmiWindow),				\
	X(9, task_switch, kTaskSwitch),				\
	X(10, cpuid, kCpuid),					\
	X(12, hlt, kHlt),					\
	X(13, invd, kInvd),					\
	X(14, invlpg, kInvlpg),					\
	X(15, rdpmc, kRdpmc),					\
	X(16, rdtsc, kRdtsc),					\
	X(18, vmcall, kVmcall),					\
	X(28, cr_access, kControlRegister),			\
	X(29, mov_dr, kMovDr),					\
	X(30, io, kIo),						\
	X(31, rdmsr, kRdmsr),					\
	X(32, wrmsr, kWrmsr),					\
	X(33, invalid_guest_state, kInvalidGuestState),		\
	X(34, msr_loading, kMsrLoading),			\
	X(36, mwait, kMwait),					\
	X(39, monitor, kMonitor),				\
	X(40, pause, kPause),					\
	X(41, entry_machine_check, kMachineCheckDuringEntry),	\
	X(48, ept_violation, kEptViolation),			\
	X(49, ept_misconfiguration, kEptMisconfiguration),	\
	X(51, rdtscp, kRdtscp),					\
	X(54, wbinvd, kWbinvd),					\
	X(55, xsetbv, kXsetbv),					\
	X(57, rdrand, kRdrand),					\
	X(60, encls, kEncls),					\
	X(61, rdseed, kRdseed),					\
	X(76, seamcall, kSeamcall),				\
	X(77, tdcall, kTdcall)

/* X(number, name, constant): the operations of the cache, in enum class Operation. */
#define VRC_OPERATIONS(X)				\
	X(0, bind, kBind),				\
	X(1, read, kRead),				\
	X(2, write, kWrite),				\
	X(3, write_back, kWriteBack),			\
	X(4, vm_exit, kVmExit),				\
	X(5, vm_entry_failed, kVmEntryFailed),		\
	X(6, mark_for_reload, kReload),			\
	X(7, watching_changed, kWatchingChanged)

/* X(number, name, constant): how the cache was used where it must not be, in enum vrc_fault. */
#define VRC_CONTEXT_KINDS(X)				\
	X(0, nmi, NMI),					\
	X(1, hardirq, HARDIRQ),				\
	X(2, softirq, SOFTIRQ),				\
	X(3, scheduler, SCHEDULER),			\
	X(4, foreign_task, FOREIGN_TASK),		\
	X(5, unlocked, UNLOCKED)

/* X(number, name, constant): what follows after an exit, in enum class ExitEnd. */
#define VRC_EXIT_ENDS(X)				\
	X(0, guest, kGuest),				\
	X(1, userspace, kUserspace),			\
	X(2, signal, kSignal),				\
	X(3, out_of_memory, kOutOfMemory),		\
	X(4, vmcs_error, kVmcsError),			\
	X(5, entry_failure, kEntryFailure)

/* X(number, name, constant): where the cache was found to differ from the VMCS, in enum class FoundAt. */
#define VRC_FOUND_AT(X)					\
	X(0, miss, kMiss),				\
	X(1, hit, kHit),				\
	X(VRC_FOUND_AT_ENTRY, entry, kVmEntry)
#define VRC_FOUND_AT_ENTRY 2

#endif
