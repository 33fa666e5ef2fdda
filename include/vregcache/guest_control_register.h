// SPDX-License-Identifier: GPL-2.0 OR MIT
// CR0 and CR4 as the guest sees them.  Each is two fields: the register in force, and the read shadow, from which the guest
// reads the bits that the guest/host mask gives to the host (SDM Vol. 3C, 25.6.6).
#pragma once

#include "register.h"
#include "result.h"
#include "vmx_layout.h"

namespace vregcache {

// How one control register is shared.  Bits that are neither forced nor guest-owned have the guest's value in hardware, and
// cause an exit when the guest changes them.
struct ControlRegisterShare {
	u64 guest_owned = 0;  // complement of the guest/host mask
	u64 forced_ones = 0;  // set in hardware whatever value the guest loads; must not be guest-owned
	// Bits of the field that VM-entry does not load, and VM-exit saves as the processor has them.
	u64 not_loaded = 0;
};

// Bits that decide the paging mode, or whether PDPTEs are loaded (SDM Vol. 3A, 4.1.1 and 4.4.1): the host must see each change.
// CR4.PGE is none of them: a change of it loads PDPTEs, but with EPT the processor does that itself, and VM-exit saves them.
constexpr u64 kCr0HostMustFollow = 1u << 0 | 1u << 29 | 1u << 30 | 1u << 31;            // PE, NW, CD, PG
constexpr u64 kCr4HostMustFollow = 1u << 4 | 1u << 5 | 1u << 12 | 1u << 17 | 1u << 20;  // PSE, PAE, LA57, PCIDE, SMEP

// @kMayBeGuestOwned: no other bit is ever guest-owned, whatever the share is at run time.  A read of only other bits is then
// known at compile time to need the shadow alone, which only the host changes.
template <Reg kHardware, Reg kShadow, u64 kMayBeGuestOwned>
struct GuestControlRegister {
	static_assert((kMayBeGuestOwned & (kHardware == Reg::kCr0 ? kCr0HostMustFollow : kCr4HostMustFollow)) == 0,
		      "the host must follow this bit, so it cannot be the guest's");

	// These bits, and zero for the others.  The register in force is read only if a guest-owned bit is among them, the shadow
	// only if another bit is.
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

	// The same for bits that are always host-owned.
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

	// Guest-owned bits of the shadow have no meaning.  They are always zero, so that writing a value that was read changes nothing.
	template <class Cache>
	[[gnu::always_inline]] static void write(Cache& cache, const typename Cache::Loaded& vmcs,
						 ControlRegisterShare share, u64 value)
	{
		cache.template write<kShadow>(vmcs, value & ~guest_owned(share));
		cache.template write<kHardware>(vmcs, (value & ~share.not_loaded) | share.forced_ones);
	}

	// The guest/host mask for the VMCS.
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
