// SPDX-License-Identifier: GPL-2.0 OR MIT
// The four page-directory pointers of PAE paging, which are loaded together (SDM Vol. 3A, 4.4.1).
#pragma once

#include "register.h"
#include "result.h"

namespace vregcache {

struct Pdptes {
	u64 entry[4] = {};

	bool operator==(const Pdptes&) const = default;
};

// As the VMCS has them, whatever the guest's paging mode.  Errors: as Cache::read().
template <class Cache>
Result<Pdptes> read_pdptes(Cache& cache, const typename Cache::Loaded& vmcs)
{
	Pdptes pdptes;
	pdptes.entry[0] = VREGCACHE_TRY(cache.template read<Reg::kPdpte0>(vmcs));
	pdptes.entry[1] = VREGCACHE_TRY(cache.template read<Reg::kPdpte1>(vmcs));
	pdptes.entry[2] = VREGCACHE_TRY(cache.template read<Reg::kPdpte2>(vmcs));
	pdptes.entry[3] = VREGCACHE_TRY(cache.template read<Reg::kPdpte3>(vmcs));
	return pdptes;
}

template <class Cache>
void write_pdptes(Cache& cache, const typename Cache::Loaded& vmcs, const Pdptes& pdptes)
{
	cache.template write<Reg::kPdpte0>(vmcs, pdptes.entry[0]);
	cache.template write<Reg::kPdpte1>(vmcs, pdptes.entry[1]);
	cache.template write<Reg::kPdpte2>(vmcs, pdptes.entry[2]);
	cache.template write<Reg::kPdpte3>(vmcs, pdptes.entry[3]);
}

}  // namespace vregcache
