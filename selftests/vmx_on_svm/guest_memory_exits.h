// SPDX-License-Identifier: GPL-2.0
// Nested page faults, and instructions that invalidate caches.
#ifndef VMX_ON_SVM_GUEST_MEMORY_EXITS_H
#define VMX_ON_SVM_GUEST_MEMORY_EXITS_H

#include "apic_writes.h"
#include "guest_events.h"
#include "sleep.h"

namespace {

class GuestMemoryExits : public GuestEvents {
 public:
	using GuestEvents::GuestEvents;

	void on_cache_invalidation()
	{
		Instruction instruction;
		const bool decoded = decode(cpu_, instruction);

		if (decoded && instruction.is(0x0f, 0x08))
			exit_instruction(kReasonInvd, 2);
		else if (cpu_.proc2_controls & kProc2WbinvdExiting)
			exit_instruction(kReasonWbinvd, 2);
		else
			skip(decoded ? instruction.length : 2);
	}

	void on_invlpg()
	{
		Instruction instruction;
		if (!decode(cpu_, instruction))
			fatal("guest: cannot decode INVLPG", guest_.exit_code, guest_.rip);
		guest_.rflags &= ~kFlagResume;
		exit({.reason = kReasonInvlpg,
		      .qualification = linear_address(cpu_, instruction),
		      .length = instruction.length});
	}

	// Nested paging.  SDM Vol. 3D, table 28-7.
	void on_nested_page_fault()
	{
		constexpr u64 kLinearValid = bit(7), kFinalAccess = bit(8), kNmiUnblocking = bit(12);
		const u64 address = guest_.exit_info_2;
		const u64 fault = guest_.exit_info_1;

		++cpu_.statistics.nested_faults;
		if (!cpu_.ept()) {
			if (take_watched_write(address))
				return;
			write_apic_page(address, address);
			return;
		}
		u64 needed = kEptRead;
		if ((fault & kNestedFaultFetch) && !(fault & kNestedFaultPageTable))
			needed = kEptExecute;
		else if (fault & kNestedFaultWrite)
			needed = kEptWrite;
		// The CPU's accesses to the guest's page tables are writes: so they are for QEMU.
		const bool sets_flags = ept_flags_enabled(cpu_);
		if (sets_flags && (fault & kNestedFaultPageTable))
			needed = kEptWrite;
		const bool pdptes = cpu_.pdpte_window && (address & kPageMask) == cpu_.pdpte_window &&
				    (fault & kNestedFaultPageTable);
		EptTranslation translation = pdptes ? EptTranslation{EptTranslation::Mapped, kEptRights,
								     Cpu::physical(cpu_.pdpte_page), kPageBytes, true}
						    : ept_translate(cpu_, address);

		if (translation.outcome == EptTranslation::Mapped && (translation.rights & needed)) {
			if (sets_flags && !pdptes) {
				set_ept_flags(translation, needed == kEptWrite);
				// The first write must come here, and set the flag.
				if (!is_dirty(translation))
					translation.rights &= ~kEptWrite;
			}
			if (needed == kEptWrite && (translation.address & kPageMask) == kApicPage)
				write_apic_page(address, translation.address);
			else
				map_nested_page(cpu_, address, translation);
			return;
		}
		cpu_.mapping(address).guest_page = kNoPage;
		cpu_.write(Field::GuestPhysicalAddress, address);
		if (translation.outcome == EptTranslation::Misconfiguration) {
			if (!(cpu_.delivery.info & kInfoValid))
				guest_.rflags |= kFlagResume;
			exit({.reason = kReasonEptMisconfiguration});
			return;
		}
		Exit exit{.reason = kReasonEptViolation};
		// The CPU reads an entry of the guest's page tables before it writes to it.
		if (fault & kNestedFaultPageTable)
			needed = kEptRead | (sets_flags || (translation.rights & kEptRead) ? kEptWrite : 0);
		exit.qualification = needed | translation.rights << 3;
		const u64 code = code_address(cpu_, guest_.rip);
		if ((fault & kNestedFaultFetch) && !(fault & kNestedFaultPageTable)) {
			// A fetch is from the page of RIP, or from the next one.
			exit.qualification |= kLinearValid | kFinalAccess;
			exit.guest_linear = code;
			if ((code ^ address) & ~kPageMask)
				exit.guest_linear = (code & kPageMask) + kPageBytes;
		} else if (find_linear_address(address, fault & kNestedFaultPageTable, exit.guest_linear)) {
			exit.qualification |= kLinearValid | (fault & kNestedFaultPageTable ? 0 : kFinalAccess);
		} else if (!(fault & kNestedFaultPageTable)) {
			// A CPU would set bit 7, too.  KVM of Linux 6.1 looks at this bit alone, and without it takes a store for
			// one to the guest's page tables.
			exit.qualification |= kFinalAccess;
		}
		if (cpu_.iret_unblocked)
			exit.qualification |= kNmiUnblocking;
		if (!(cpu_.delivery.info & kInfoValid))
			guest_.rflags |= kFlagResume;
		exit_to_host(cpu_, exit);
	}

 private:
	// SVM does not report the linear address of a data access: it is one that the instruction or the delivery could have used,
	// and whose translation leads to the guest-physical address.
	bool find_linear_address(u64 guest_physical, bool in_tables, u64& linear)
	{
		constexpr u64 kLargestPush = 8;
		Instruction instruction;
		// The walk for the instruction itself comes first.
		const u64 code = code_address(cpu_, guest_.rip);
		const u64 code_pages[] = {code, (code & kPageMask) + kPageBytes};
		for (const u64 address : code_pages) {
			if (in_tables && leads_to(address, guest_physical, true)) {
				linear = address;
				return true;
			}
		}
		if (!decode(cpu_, instruction))
			return false;
		const u64 stack = stack_address(0);
		const struct {
			bool possible;
			u64 first;
		} candidates[] = {
			{!!(cpu_.delivery.info & kInfoValid), gate_address()},
			{instruction.memory_operand,
			 instruction.memory_operand ? linear_address(cpu_, instruction) : 0},
			{true, string_address(instruction, kEs, kRdi)},
			{true, string_address(instruction, instruction.segment, kRsi)},
			{true, stack},
			{true, stack_address(-kLargestPush)},
			{instruction.opcode_bytes == 1 && (instruction.opcode[0] & 0xfc) == 0xa0,
			 segment_base(cpu_, instruction.segment) + static_cast<u64>(instruction.immediate)},
		};
		for (const auto& candidate : candidates) {
			// It may cross into the next page.
			const u64 pages[] = {candidate.first, (candidate.first & kPageMask) + kPageBytes};
			for (const u64 address : pages) {
				if (candidate.possible && leads_to(address, guest_physical, in_tables)) {
					linear = address;
					return true;
				}
			}
		}
		return false;
	}

	bool leads_to(u64 linear, u64 guest_physical, bool in_tables)
	{
		const LinearTranslation translation = translate(cpu_, linear);
		if (in_tables)
			return translation.uses(guest_physical);
		return !translation.ends_in_tables && translation.physical &&
		       !((translation.physical ^ guest_physical) & kPageMask);
	}

	u64 string_address(const Instruction& instruction, Segment segment, unsigned number)
	{
		u64 offset = cpu_.general_register(number);
		if (instruction.address_bytes < 8)
			offset &= instruction.address_bytes == 2 ? 0xffff : 0xffffffff;
		const u64 address = segment_base(cpu_, segment) + offset;
		return cpu_.code_64() ? address : low_half(address);
	}

	// In the IDT, or the interrupt table of real mode, for the event that is being delivered.
	u64 gate_address()
	{
		const u64 vector = cpu_.delivery.info & kEventVectorMask;
		const u64 bytes = cpu_.long_mode() ? 16 : guest_.cr0 & kCr0ProtectionEnable ? 8 : 4;
		return guest_.idtr.base + vector * bytes;
	}

	u64 stack_address(u64 by)
	{
		if (cpu_.code_64())
			return guest_.rsp + by;
		const u64 offset = guest_.rsp + by;
		return low_half(guest_.ss.base +
				(guest_.ss.attributes & kAttributeDefaultBig ? low_half(offset) : offset & 0xffff));
	}

	// The local APIC's page, which root software has given to the guest.
	void write_apic_page(u64 guest_physical, u64 address)
	{
		if ((address & kPageMask) != kApicPage || (cpu_.delivery.info & kInfoValid))
			fatal("guest: nested page fault", guest_physical, guest_.rip);
		disarm_preemption_timer(cpu_);
		if (const unsigned length = ApicWrite(cpu_).execute(address & ~kPageMask))
			skip(length);
	}
};

}  // namespace

#endif
