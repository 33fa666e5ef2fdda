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
	static Result<Breakpoints> begin(Vcpu& vcpu, const LoadedVmcs& vmcs);

	// The breakpoints that an access of @bytes to this port matches, as bits of DR6.
	u64 matched_by_port(u16 port, u32 bytes) const;

	u64 matched_by_memory(u64 linear, u32 bytes, bool write) const;

 private:
	// The length in bytes for LENn of DR7.
	static u64 length(u64 code) { return code == 2 ? 8 : code + 1; }

	template <class TypeMatches>
	u64 matches(TypeMatches type_matches, u64 first, u32 bytes) const;

	u64 dr7_ = 0;
	bool io_ = false;
	u64 address_[4] = {};
};

}  // namespace
