// SPDX-License-Identifier: GPL-2.0
// IN, OUT, INS and OUTS: userspace emulates the port, the module moves the data.
//
// The instruction completes when userspace runs the vCPU again; until then the registers are unchanged.
#pragma once

#include "vcpu/exits/exit_result.h"

namespace {

// The exit qualification of an I/O instruction (SDM Vol. 3C, table 28-5).
struct IoQualification {
	u64 word;

	u8 size() const { return (word & 7) + 1; }
	bool in() const { return word & 1u << 3; }
	bool string() const { return word & 1u << 4; }
	bool repeat() const { return word & 1u << 5; }
	u16 port() const { return static_cast<u16>(word >> 16); }
};

inline Gpr index_register(const PortIo& io) { return io.in ? Gpr::kRdi : Gpr::kRsi; }

Result<Next> handle_io(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Userspace is about to set segments: from now on RIP alone does not locate an unfinished instruction.
inline Result<void> remember_linear_rip(Vcpu& vcpu, const LoadedVmcs& vmcs);

// Userspace has returned from a port I/O exit.  kResume: the guest can continue.
inline Result<Next> complete_io(Vcpu& vcpu, const LoadedVmcs& vmcs);

}  // namespace
