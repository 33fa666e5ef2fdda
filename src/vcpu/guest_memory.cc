// SPDX-License-Identifier: GPL-2.0
// Slots of guest memory: pinned when they are created, mapped in the EPT when the guest accesses them.
#include "vcpu/guest_memory.h"

namespace {

inline const GuestMemory::Slot* GuestMemory::find(u64 guest_physical) const
{
	for (const Slot& slot : slots_) {
		if (slot.pages && guest_physical >= slot.base && guest_physical < slot.end())
			return &slot;
	}
	return nullptr;
}

inline void GuestMemory::unmap(const Slot& slot)
{
	ept_.zap(slot.base, slot.pages);
	ept_.flush();
}

inline void GuestMemory::release(vrc_host_vm* host, Slot& slot)
{
	if (!slot.pages)
		return;
	unmap(slot);
	vrc_host_unpin(host, slot.pinned);
	slot = {};
}

inline void GuestMemory::destroy(vrc_host_vm* host)
{
	// Before the pages are reused: one flush for all slots.
	ept_.destroy();
	for (Slot& slot : slots_) {
		if (slot.pages)
			vrc_host_unpin(host, slot.pinned);
		slot = {};
	}
}

inline int GuestMemory::set_slot(vrc_host_vm* host, const kvm_userspace_memory_region& region)
{
	if (region.slot >= kSlotLimit || region.flags)
		return -EINVAL;
	if ((region.guest_phys_addr | region.memory_size | region.userspace_addr) & ~kPageMask)
		return -EINVAL;
	u64 pages = region.memory_size / kPageSize;
	constexpr u64 kAddressLimit = u64{1} << kGuestPhysicalBits;
	if (pages > kPageLimit || region.guest_phys_addr > kAddressLimit - region.memory_size)
		return -EINVAL;

	Slot& slot = slots_[index_nospec(region.slot, kSlotLimit)];
	if (!pages) {
		if (!slot.pages)
			return -EINVAL;
		release(host, slot);
		return 0;
	}
	if (slot.pages && (slot.pages != pages || slot.user_address != region.userspace_addr))
		return -EINVAL;
	for (const Slot& other : slots_) {
		if (&other != &slot && other.pages && region.guest_phys_addr < other.end() &&
		    other.base < region.guest_phys_addr + region.memory_size)
			return -EEXIST;
	}
	if (slot.pages) {
		if (slot.base == region.guest_phys_addr)
			return 0;
		unmap(slot);
		slot.base = region.guest_phys_addr;
		return 0;
	}
	vrc_host_pinned* pinned;
	if (int error = vrc_host_pin(host, region.userspace_addr, pages, &pinned))
		return error;
	slot = {region.guest_phys_addr, pages, region.userspace_addr, pinned};
	return 0;
}

inline GuestMemory::Fault GuestMemory::handle_violation(u64 guest_physical)
{
	const Slot* slot = find(guest_physical);
	if (!slot)
		return Fault::kNoMemoryThere;
	int error = ept_.map(guest_physical & kPageMask, slot->host_physical(guest_physical));
	return error ? Fault::kOutOfMemory : Fault::kMapped;
}

inline u8* GuestMemory::at(u64 guest_physical) const
{
	const Slot* slot = find(guest_physical);
	if (!slot)
		return nullptr;
	u8* memory = static_cast<u8*>(vrc_host_direct_map(slot->host_physical(guest_physical)));
	return memory + (guest_physical & ~kPageMask);
}

}  // namespace
