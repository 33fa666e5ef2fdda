// SPDX-License-Identifier: GPL-2.0
// The PDPTEs of a guest with PAE paging in EPT: registers that VM-entry loads from the VMCS and MOV to CR3 from memory.
// SDM Vol. 3A, section 4.4.1, and Vol. 3C, section 27.3.2.4.
//
// Nested paging knows no such registers: it reads the PDPTEs from memory whenever it walks.  The guest therefore runs with
// another CR3, which points to a page that holds them, at a guest-physical address where the guest has nothing.
#ifndef VMX_ON_SVM_PAE_PAGING_H
#define VMX_ON_SVM_PAE_PAGING_H

#include "guest_memory.h"

namespace {

constexpr u64 kPaeTableAddress = bits(5, 31);

inline bool pae_paging(const Vmcb& vmcb)
{
	return (vmcb.cr0 & kCr0Paging) && (vmcb.cr4 & kCr4PhysicalAddressExtension) &&
	       !(vmcb.efer & kEferLongModeActive);
}

inline bool valid_pdptes(const CpuFacts& facts, const u64 (&pdpte)[4])
{
	const u64 reserved = bits(1, 2) | bits(5, 8) | bits(facts.physical_width, 63);
	for (const u64 entry : pdpte) {
		if ((entry & kPagePresent) && (entry & reserved))
			return false;
	}
	return true;
}

inline bool read_pdptes(Cpu& cpu, u64 cr3, u64 (&pdpte)[4])
{
	u64 address;
	if (!to_host_physical(cpu, cr3 & kPaeTableAddress, address))
		return false;
	copy_bytes(pdpte, cpu.memory(address), sizeof(pdpte));
	return true;
}

// CR3 as the guest has loaded it.
inline u64 guest_cr3(Cpu& cpu) { return cpu.pdpte_window ? cpu.pae_cr3 : cpu.guest_vmcb.cr3; }

// A guest-physical page below 4 GiB that the guest has no use for: EPT maps nothing there, or what the monitor hides.  0 if there
// is none.
inline u64 find_pdpte_window(Cpu& cpu)
{
	constexpr u64 kFirst = 0xffbfe000, kLast = 0x00100000;
	auto suits = [&](const EptTranslation& translation) {
		return translation.outcome == EptTranslation::Violation ||
		       (translation.outcome == EptTranslation::Mapped && in_area(translation.address));
	};
	// Where the last one was, and where guest-physical addresses are host-physical ones.
	const u64 likely[] = {cpu.last_pdpte_window, g_area};
	for (const u64 address : likely) {
		if (address && suits(ept_translate(cpu, address)))
			return address;
	}
	for (u64 address = kFirst; address > kLast;) {
		const EptTranslation translation = ept_translate(cpu, address);
		if (suits(translation))
			return address;
		const u64 step = translation.page_bytes < kLargePageBytes ? kPageBytes : kLargePageBytes;
		address = (address & ~(step - 1)) - kPageBytes;
	}
	return 0;
}

inline void use_pdptes(Cpu& cpu, const u64 (&pdpte)[4], u64 cr3)
{
	if (!cpu.pdpte_window)
		cpu.pdpte_window = cpu.last_pdpte_window = find_pdpte_window(cpu);
	if (!cpu.pdpte_window) {
		cpu.guest_vmcb.cr3 = cr3;
		return;
	}
	for (unsigned i = 0; i < 4; ++i)
		cpu.pdpte[i] = cpu.pdpte_page[i] = pdpte[i];
	cpu.pae_cr3 = cr3;
	cpu.guest_vmcb.cr3 = cpu.pdpte_window;
}

// The guest leaves PAE paging, or VMX non-root operation.
inline void forget_pdptes(Cpu& cpu)
{
	if (!cpu.pdpte_window)
		return;
	cpu.guest_vmcb.cr3 = cpu.pae_cr3;
	cpu.pdpte_window = 0;
	flush_nested_pages(cpu);
}

// After the guest has written CR0, CR3 or CR4.  False if a reserved bit in memory makes that raise #GP, or, with `violation`
// set, if EPT does not map the PDPTEs.
[[nodiscard]] inline bool reload_pdptes(Cpu& cpu, u64 cr3, bool& violation)
{
	u64 pdpte[4];

	if (!cpu.ept())
		return true;
	if (!pae_paging(cpu.guest_vmcb)) {
		forget_pdptes(cpu);
		return true;
	}
	violation = !read_pdptes(cpu, cr3, pdpte);
	if (violation)
		return false;
	if (!valid_pdptes(cpu.facts, pdpte))
		return false;
	use_pdptes(cpu, pdpte, cr3);
	return true;
}

}  // namespace

#endif
