// SPDX-License-Identifier: GPL-2.0
// The guest's I/O and data breakpoints, for instructions that the module emulates (SDM Vol. 3B, 18.2.4 and 18.2.5).
#pragma once

#include "vcpu/guest_state.h"

namespace {

// The breakpoint types in R/Wn of DR7.
enum class BreakpointKind : u8 { kDataWrite = 1, kIo = 2, kDataReadWrite = 3 };

class Breakpoints {
 public:
	// From DR7 and CR4.DE.  Call it only if a breakpoint is enabled, because it may need VMREADs.
	static Result<Breakpoints> begin(Vcpu& vcpu, const LoadedVmcs& vmcs)
	{
		Breakpoints breakpoints;
		breakpoints.dr7_ = VREGCACHE_TRY(vcpu.cache.read<Reg::kDr7>(vmcs));
		breakpoints.io_ = VREGCACHE_TRY(guest_cr4(vcpu, vmcs)) & cr4::kDe;
		for (u32 i = 0; i < 4; i++)
			breakpoints.address_[i] = vcpu.entry.dr[i];
		return breakpoints;
	}

	// The breakpoints that an access of @bytes to this port matches, as bits of DR6.
	u64 matched_by_port(u16 port, u32 bytes) const
	{
		return io_ ? matches([](BreakpointKind kind) { return kind == BreakpointKind::kIo; }, port, bytes) : 0;
	}

	u64 matched_by_memory(u64 linear, u32 bytes, bool write) const
	{
		auto type_matches = [write](BreakpointKind kind) {
			return kind == BreakpointKind::kDataReadWrite || (write && kind == BreakpointKind::kDataWrite);
		};
		return matches(type_matches, linear, bytes);
	}

 private:
	// The length in bytes for LENn of DR7.
	static u64 length(u64 code) { return code == 2 ? 8 : code + 1; }

	template <class TypeMatches>
	u64 matches(TypeMatches type_matches, u64 first, u32 bytes) const
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

	u64 dr7_ = 0;
	bool io_ = false;
	u64 address_[4] = {};
};

}  // namespace
