// SPDX-License-Identifier: GPL-2.0
// Slots of guest memory: pinned when they are created, mapped in the EPT when the guest accesses them.
#include "vcpu/guest_memory.h"

namespace {

inline int GuestMemory::create()
{
	tables_ = static_cast<Slots*>(vrc_host_alloc(2 * sizeof(Slots)));
	slots_ = tables_;
	if (tables_ && ept_.create())
		return 0;
	vrc_host_free(tables_);
	return -ENOMEM;
}

inline const GuestMemory::Slot* GuestMemory::Slots::find(u64 guest_physical) const
{
	for (const Slot& one : slot) {
		if (one.pages && guest_physical >= one.base && guest_physical < one.end())
			return &one;
	}
	return nullptr;
}

inline void GuestMemory::publish(const Slots& slots)
{
	__atomic_store_n(&slots_, &slots, __ATOMIC_RELEASE);
	vrc_host_synchronize_rcu();
}

inline void GuestMemory::unmap(const Slot& slot)
{
	ept_.zap(slot.base, slot.pages);
	ept_.flush();
}

inline void GuestMemory::destroy(vrc_host_vm* host)
{
	// Before the pages are reused: one flush for all slots.
	ept_.destroy();
	for (const Slot& slot : slots_->slot) {
		if (slot.pages)
			vrc_host_unpin(host, slot.pinned);
	}
	vrc_host_free(tables_);
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

	const u32 number = static_cast<u32>(index_nospec(region.slot, kSlotLimit));
	const Slot old = slots().slot[number];
	Slots& next = tables_[slots_ == tables_];
	if (!pages) {
		if (!old.pages)
			return -EINVAL;
		next = slots();
		next.slot[number] = {};
		publish(next);
		unmap(old);
		vrc_host_unpin(host, old.pinned);
		return 0;
	}
	if (old.pages && (old.pages != pages || old.user_address != region.userspace_addr))
		return -EINVAL;
	if (old.pages && old.base == region.guest_phys_addr)
		return 0;
	next = slots();
	for (const Slot& other : next.slot) {
		if (&other != &next.slot[number] && other.pages && region.guest_phys_addr < other.end() &&
		    other.base < region.guest_phys_addr + region.memory_size)
			return -EEXIST;
	}
	Slot& slot = next.slot[number];
	if (old.pages) {
		slot.base = region.guest_phys_addr;
		publish(next);
		unmap(old);
		return 0;
	}
	vrc_host_pinned* pinned;
	if (int error = vrc_host_pin(host, region.userspace_addr, pages, &pinned))
		return error;
	slot = {region.guest_phys_addr, pages, region.userspace_addr, pinned};
	publish(next);
	return 0;
}

inline GuestMemory::Fault GuestMemory::map(u64 guest_physical)
{
	const Slot* slot = slots().find(guest_physical);
	if (!slot)
		return Fault::kNoMemoryThere;
	int error = ept_.map(guest_physical & kPageMask, slot->host_physical(guest_physical));
	return error ? Fault::kOutOfMemory : Fault::kMapped;
}

inline u8* GuestMemory::at(u64 guest_physical) const
{
	const Slot* slot = slots().find(guest_physical);
	if (!slot)
		return nullptr;
	u8* memory = static_cast<u8*>(vrc_host_direct_map(slot->host_physical(guest_physical)));
	return memory + (guest_physical & ~kPageMask);
}

}  // namespace
