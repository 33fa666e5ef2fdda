// SPDX-License-Identifier: GPL-2.0
// Matches an emulated instruction's accesses with the guest's breakpoints.
#include "vcpu/exits/breakpoint.h"

namespace {

inline Result<Breakpoints> Breakpoints::begin(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	Breakpoints breakpoints;
	breakpoints.dr7_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
	breakpoints.io_ = VREGCACHE_TRY(guest_cr4(vcpu, vmcs)) & cr4::kDe;
	for (u32 i = 0; i < 4; i++)
		breakpoints.address_[i] = vcpu.entry_switch.dr[i];
	return breakpoints;
}

template <class TypeMatches>
u64 Breakpoints::matches(TypeMatches type_matches, u64 first, u32 bytes) const
{
	u64 found = 0;
	for (u32 i = 0; i < 4; i++) {
		const u64 kind = dr7_ >> (16 + 4 * i) & 3, enabled = dr7_ >> 2 * i & 3;
		if (!enabled || !type_matches(static_cast<BreakpointKind>(kind)))
			continue;
		// The low bits of the address are ignored: a breakpoint is aligned to its length.
		const u64 size = length(dr7_ >> (18 + 4 * i) & 3), begin = address_[i] & ~(size - 1);
		if (first < begin + size && begin < first + bytes)
			found |= u64{1} << i;
	}
	return found;
}

inline u64 Breakpoints::matched_by_port(u16 port, u32 bytes) const
{
	return io_ ? matches([](BreakpointKind kind) { return kind == BreakpointKind::kIo; }, port, bytes) : 0;
}

inline u64 Breakpoints::matched_by_memory(u64 linear, u32 bytes, bool write) const
{
	auto type_matches = [write](BreakpointKind kind) {
		return kind == BreakpointKind::kDataReadWrite || (write && kind == BreakpointKind::kDataWrite);
	};
	return matches(type_matches, linear, bytes);
}

}  // namespace
