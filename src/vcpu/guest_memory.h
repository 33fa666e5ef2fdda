// SPDX-License-Identifier: GPL-2.0
// Guest-physical memory: slots of pinned user memory, and the EPT that maps them.
//
// Everything here is called with the memory lock of the virtual machine held.
#pragma once

#include "vmx/ept.h"
#include "vcpu/uapi.h"

namespace {

class GuestMemory {
 public:
	static constexpr u32 kSlotLimit = 64;

	int create() { return ept_.create() ? 0 : -ENOMEM; }

	// No vCPU is left.
	void destroy(vrc_host_vm* host)
	{
		// Before the pages are reused: one flush for all slots.
		ept_.destroy();
		for (Slot& slot : slots_) {
			if (slot.pages)
				vrc_host_unpin(host, slot.pinned);
			slot = {};
		}
	}

	u64 ept_pointer() const { return ept_.pointer(); }

	// KVM_SET_USER_MEMORY_REGION.  A size of zero deletes the slot; an existing slot may only be moved.
	int set_slot(vrc_host_vm* host, const kvm_userspace_memory_region& region)
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

	enum class Fault : u8 { kMapped, kNoMemoryThere, kOutOfMemory };

	// On an EPT violation at @guest_physical: maps the page if a slot has it.
	Fault handle_violation(u64 guest_physical)
	{
		const Slot* slot = find(guest_physical);
		if (!slot)
			return Fault::kNoMemoryThere;
		int error = ept_.map(guest_physical & kPageMask, slot->host_physical(guest_physical));
		return error ? Fault::kOutOfMemory : Fault::kMapped;
	}

	// The host's address of the byte at @guest_physical, valid to the end of its page; nullptr if no slot has it.
	u8* at(u64 guest_physical) const
	{
		const Slot* slot = find(guest_physical);
		if (!slot)
			return nullptr;
		u8* memory = static_cast<u8*>(vrc_host_direct_map(slot->host_physical(guest_physical)));
		return memory + (guest_physical & ~kPageMask);
	}

 private:
	static constexpr u64 kPageLimit = u64{1} << 27;  // 512 GiB: the list of pages is one allocation

	struct Slot {
		u64 base = 0;
		u64 pages = 0;  // zero: the slot is free
		u64 user_address = 0;
		vrc_host_pinned* pinned = nullptr;

		u64 end() const { return base + pages * kPageSize; }
		// Of the page at a guest-physical address that lies in the slot.
		u64 host_physical(u64 guest_physical) const
		{
			return vrc_host_pinned_physical(pinned,
							index_nospec((guest_physical - base) / kPageSize, pages));
		}
	};

	const Slot* find(u64 guest_physical) const
	{
		for (const Slot& slot : slots_) {
			if (slot.pages && guest_physical >= slot.base && guest_physical < slot.end())
				return &slot;
		}
		return nullptr;
	}

	void unmap(const Slot& slot)
	{
		ept_.zap(slot.base, slot.pages);
		ept_.flush();
	}

	void release(vrc_host_vm* host, Slot& slot)
	{
		if (!slot.pages)
			return;
		unmap(slot);
		vrc_host_unpin(host, slot.pinned);
		slot = {};
	}

	Slot slots_[kSlotLimit];
	Ept ept_;
};

}  // namespace
