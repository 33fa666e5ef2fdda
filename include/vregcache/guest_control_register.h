// SPDX-License-Identifier: GPL-2.0 OR MIT
// CR0 and CR4 as the guest sees them.  Hardware keeps each in two fields: the register that is in force, and the read
// shadow, which the guest reads wherever the guest/host mask makes a bit the host's (SDM Vol. 3C, 25.6.6).
#pragma once

#include "register.h"
#include "result.h"
#include "vmx_layout.h"

namespace vregcache {

// How one control register is shared.  Bits that are neither forced nor guest-owned hold in hardware what the guest
// asked for, and exit when the guest changes them.
struct ControlRegisterShare {
	u64 guest_owned = 0;  // complement of the guest/host mask
	u64 forced_ones = 0;  // set in hardware whatever the guest asks for; must not be guest-owned
	u64 not_loaded =
		0;  // bits of the field that VM-entry does not load, and VM-exit saves as the processor has them
};

// Bits that decide the paging mode, or with it whether PDPTEs are loaded (SDM Vol. 3A, 4.1.1 and 4.4.1): the host must
// see each change.  CR4.PGE is none of them: its change loads PDPTEs in a mode that the host knows, the processor does
// that by itself where EPT is on, and VM-exit saves what it loaded.
constexpr u64 kCr0HostMustFollow = 1u << 0 | 1u << 29 | 1u << 30 | 1u << 31;            // PE, NW, CD, PG
constexpr u64 kCr4HostMustFollow = 1u << 4 | 1u << 5 | 1u << 12 | 1u << 17 | 1u << 20;  // PSE, PAE, LA57, PCIDE, SMEP

// @kMayBeGuestOwned: no other bit is ever the guest's, whatever the share says at run time.  So a read of other bits alone
// is known at compile time to be served by the shadow, which only the host changes.
template <Reg kHardware, Reg kShadow, u64 kMayBeGuestOwned>
struct GuestControlRegister {
	static_assert((kMayBeGuestOwned & (kHardware == Reg::kCr0 ? kCr0HostMustFollow : kCr4HostMustFollow)) == 0,
		      "the host must follow this bit, so it cannot be the guest's");

	// These bits of it, and zero for the others.  The field in force is read only for a guest-owned bit, and the shadow
	// only for another.
	template <class Cache>
	[[gnu::always_inline]] static Result<u64> read_bits(Cache& cache, const typename Cache::Loaded& vmcs,
							    ControlRegisterShare share, u64 bits)
	{
		u64 guests = bits & guest_owned(share);
		u64 hosts = bits & ~guest_owned(share);
		u64 value = 0;
		if (hosts)
			value = VREGCACHE_TRY(cache.template read<kShadow>(vmcs)) & hosts;
		if (guests)
			value |= VREGCACHE_TRY(cache.template read<kHardware>(vmcs)) & guests;
		return value;
	}

	// The same for bits that can only be the host's.
	template <u64 kBits, class Cache>
		requires((kBits & kMayBeGuestOwned) == 0)
	[[gnu::always_inline]] static Result<u64> read_host_owned(Cache& cache, const typename Cache::Loaded& vmcs)
	{
		return read_bits(cache, vmcs, {}, kBits);
	}

	template <class Cache>
	[[gnu::always_inline]] static Result<u64> read(Cache& cache, const typename Cache::Loaded& vmcs,
						       ControlRegisterShare share)
	{
		return read_bits(cache, vmcs, share, ~u64{0});
	}

	// Guest-owned bits of the shadow mean nothing.  They are always zero, so that a value that was read can be written
	// back without a change.
	template <class Cache>
	[[gnu::always_inline]] static void write(Cache& cache, const typename Cache::Loaded& vmcs,
						 ControlRegisterShare share, u64 value)
	{
		cache.template write<kShadow>(vmcs, value & ~guest_owned(share));
		cache.template write<kHardware>(vmcs, (value & ~share.not_loaded) | share.forced_ones);
	}

	// What the VMCS must have as the guest/host mask.
	VREGCACHE_INLINE static u64 guest_host_mask(ControlRegisterShare share) { return ~guest_owned(share); }

 private:
	VREGCACHE_INLINE static u64 guest_owned(ControlRegisterShare share)
	{
		return share.guest_owned & kMayBeGuestOwned;
	}
};

template <u64 kMayBeGuestOwned>
using GuestCr0 = GuestControlRegister<Reg::kCr0, Reg::kCr0ReadShadow, kMayBeGuestOwned>;
template <u64 kMayBeGuestOwned>
using GuestCr4 = GuestControlRegister<Reg::kCr4, Reg::kCr4ReadShadow, kMayBeGuestOwned>;

}  // namespace vregcache
