/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The names that people see of registers, exit reasons and others, in trace events (C) and in the tables (C++).  Only
 * macros: a trace event's format needs literals.  src/instrument/names.h checks that each is the name of what C++ has under
 * that number.
 */
#ifndef VREGCACHE_GLUE_NAMES_H
#define VREGCACHE_GLUE_NAMES_H

/*
 * X(number, mask, name, register) for each of enum class Reg, with commas in between.  The mask is the register's bit
 * in its half of a set: libtraceevent cannot tell bit 63 from a sign, so a set is printed in halves.
 */
#define VRC_LOWER_REGISTERS(X)							\
	VRC_REGISTER(X, 0, rip, kRip),						\
	VRC_REGISTER(X, 1, rsp, kRsp),						\
	VRC_REGISTER(X, 2, rflags, kRflags),					\
	VRC_REGISTER(X, 3, interruptibility, kInterruptibility),		\
	VRC_REGISTER(X, 4, pending_debug, kPendingDebugExceptions),		\
	VRC_REGISTER(X, 5, activity, kActivityState),				\
	VRC_REGISTER(X, 6, cr0, kCr0),						\
	VRC_REGISTER(X, 7, cr0_shadow, kCr0ReadShadow),				\
	VRC_REGISTER(X, 8, cr3, kCr3),						\
	VRC_REGISTER(X, 9, cr4, kCr4),						\
	VRC_REGISTER(X, 10, cr4_shadow, kCr4ReadShadow),			\
	VRC_REGISTER(X, 11, efer, kEfer),					\
	VRC_REGISTER(X, 12, dr7, kDr7),						\
	VRC_REGISTER(X, 13, pdpte0, kPdpte0),					\
	VRC_REGISTER(X, 14, pdpte1, kPdpte1),					\
	VRC_REGISTER(X, 15, pdpte2, kPdpte2),					\
	VRC_REGISTER(X, 16, pdpte3, kPdpte3),					\
	VRC_REGISTER(X, 17, gdtr.base, kGdtrBase),				\
	VRC_REGISTER(X, 18, gdtr.limit, kGdtrLimit),				\
	VRC_REGISTER(X, 19, idtr.base, kIdtrBase),				\
	VRC_REGISTER(X, 20, idtr.limit, kIdtrLimit),				\
	VRC_REGISTER(X, 21, exit_reason, kExitReason),				\
	VRC_REGISTER(X, 22, qualification, kExitQualification),			\
	VRC_REGISTER(X, 23, interruption, kExitInterruptionInformation),	\
	VRC_REGISTER(X, 24, interruption_error, kExitInterruptionErrorCode),	\
	VRC_REGISTER(X, 25, vectoring, kIdtVectoringInformation),		\
	VRC_REGISTER(X, 26, vectoring_error, kIdtVectoringErrorCode),		\
	VRC_REGISTER(X, 27, instruction_length, kExitInstructionLength),	\
	VRC_REGISTER(X, 28, instruction_information, kExitInstructionInformation), \
	VRC_REGISTER(X, 29, guest_physical, kGuestPhysicalAddress),		\
	VRC_REGISTER(X, 30, guest_linear, kGuestLinearAddress),			\
	VRC_REGISTER(X, 31, debugctl, kDebugctl)

#define VRC_SEGMENT_REGISTERS(X)						\
	VRC_SEGMENT(X, 32, 33, 34, 35, UL, es, kEs),				\
	VRC_SEGMENT(X, 36, 37, 38, 39, 0UL, cs, kCs),				\
	VRC_SEGMENT(X, 40, 41, 42, 43, 00UL, ss, kSs),				\
	VRC_SEGMENT(X, 44, 45, 46, 47, 000UL, ds, kDs),				\
	VRC_SEGMENT(X, 48, 49, 50, 51, 0000UL, fs, kFs),				\
	VRC_SEGMENT(X, 52, 53, 54, 55, 00000UL, gs, kGs),				\
	VRC_SEGMENT(X, 56, 57, 58, 59, 000000UL, ldtr, kLdtr),				\
	VRC_SEGMENT(X, 60, 61, 62, 63, 0000000UL, tr, kTr)

#define VRC_REGISTERS(X) VRC_LOWER_REGISTERS(X), VRC_SEGMENT_REGISTERS(X)

#define VRC_REGISTER(X, number, name, reg) X(number, 1UL << (number), name, Reg::reg)
/* Its four parts are one hexadecimal digit, and the zeros behind it say which. */
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

/* X(number, name, constant): what is asked of the cache, in enum class Operation. */
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
