// SPDX-License-Identifier: GPL-2.0
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
};

template <Reg kHardware, Reg kShadow>
struct GuestControlRegister {
	// With nothing guest-owned this reads the shadow alone, which no VM-exit invalidates.
	template <class Cache>
	[[gnu::always_inline]] static Result<u64> read(Cache& cache, const typename Cache::Loaded& vmcs,
						       ControlRegisterShare share)
	{
		u64 value = VREGCACHE_TRY(cache.template read<kShadow>(vmcs));
		if (share.guest_owned == 0)
			return value;
		u64 hardware = VREGCACHE_TRY(cache.template read<kHardware>(vmcs));
		return (hardware & share.guest_owned) | (value & ~share.guest_owned);
	}

	template <class Cache>
	[[gnu::always_inline]] static void write(Cache& cache, const typename Cache::Loaded& vmcs,
						 ControlRegisterShare share, u64 value)
	{
		cache.template write<kShadow>(vmcs, value);
		cache.template write<kHardware>(vmcs, value | share.forced_ones);
	}
};

using GuestCr0 = GuestControlRegister<Reg::kCr0, Reg::kCr0ReadShadow>;
using GuestCr4 = GuestControlRegister<Reg::kCr4, Reg::kCr4ReadShadow>;

}  // namespace vregcache
