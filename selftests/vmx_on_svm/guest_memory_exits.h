// SPDX-License-Identifier: GPL-2.0
// Nested page faults, and instructions that invalidate caches.
#ifndef VMX_ON_SVM_GUEST_MEMORY_EXITS_H
#define VMX_ON_SVM_GUEST_MEMORY_EXITS_H

#include "apic_writes.h"
#include "guest_events.h"

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
			write_apic_page(address, address);
			return;
		}
		u64 needed = kEptRead;
		if (fault & kNestedFaultFetch)
			needed = kEptExecute;
		else if (fault & kNestedFaultWrite)
			needed = kEptWrite;
		const bool pdptes = cpu_.pdpte_window && (address & kPageMask) == cpu_.pdpte_window &&
				    (fault & kNestedFaultPageTable);
		const EptTranslation translation = pdptes ? EptTranslation{EptTranslation::Mapped, kEptRights,
									   Cpu::physical(cpu_.pdpte_page), kPageBytes,
									   true}
							  : ept_translate(cpu_, address);

		if (translation.outcome == EptTranslation::Mapped && (translation.rights & needed)) {
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
		exit.qualification = needed | translation.rights << 3;
		const u64 code = code_address(cpu_, guest_.rip);
		if ((fault & kNestedFaultFetch) && !(fault & kNestedFaultPageTable)) {
			// A fetch is from the page of RIP, or from the next one.
			exit.qualification |= kLinearValid | kFinalAccess;
			exit.guest_linear = code;
			if ((code ^ address) & ~kPageMask)
				exit.guest_linear = (code & kPageMask) + kPageBytes;
		} else if (!(fault & kNestedFaultPageTable)) {
			// A CPU would set bit 7, too, but the linear address is not known here.  KVM of Linux 6.1 looks
			// at this bit alone, and without it takes a store for one to the guest's page tables.
			exit.qualification |= kFinalAccess;
		}
		if (cpu_.iret_unblocked)
			exit.qualification |= kNmiUnblocking;
		if (!(cpu_.delivery.info & kInfoValid))
			guest_.rflags |= kFlagResume;
		exit_to_host(cpu_, exit);
	}

 private:
	// The local APIC's page, which root software has given to the guest.
	void write_apic_page(u64 guest_physical, u64 address)
	{
		if ((address & kPageMask) != kApicPage || (cpu_.delivery.info & kInfoValid))
			fatal("guest: nested page fault", guest_physical, guest_.rip);
		if (const unsigned length = ApicWrite(cpu_).execute(address & ~kPageMask))
			skip(length);
	}
};

}  // namespace

#endif
