// SPDX-License-Identifier: GPL-2.0
// Guest-physical memory: slots of pinned user memory, and the EPT that maps them.
//
// set_slot() and map() are called with the memory lock of the virtual machine held.  at() needs it, or interrupts off
// for as long as the address is used: what a slot had is not unpinned before every CPU has turned interrupts on.
#pragma once

#include "vmx/ept.h"
#include "vcpu/uapi.h"

namespace {

class GuestMemory {
 public:
	static constexpr u32 kSlotLimit = 64;

	int create();

	// No vCPU is left.
	void destroy(vrc_host_vm* host);

	u64 ept_pointer() const { return ept_.pointer(); }

	// KVM_SET_USER_MEMORY_REGION.  A size of zero deletes the slot; an existing slot may only be moved.
	int set_slot(vrc_host_vm* host, const kvm_userspace_memory_region& region);

	enum class Fault : u8 { kMapped, kNoMemoryThere, kOutOfMemory };

	// On an EPT violation at @guest_physical: maps the page if a slot has it.
	Fault map(u64 guest_physical);

	// The host's address of the byte at @guest_physical, valid to the end of its page; nullptr if no slot has it.
	u8* at(u64 guest_physical) const;

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

	struct Slots {
		Slot slot[kSlotLimit];

		const Slot* find(u64 guest_physical) const;
	};

	const Slots& slots() const { return *__atomic_load_n(&slots_, __ATOMIC_ACQUIRE); }
	// Replaces the slots, and returns when nobody reads the former ones.
	void publish(const Slots& slots);
	void unmap(const Slot& slot);

	// One of them is in use; the other one is for the next change.
	Slots* tables_ = nullptr;
	const Slots* slots_ = nullptr;
	Ept ept_;
};

}  // namespace
