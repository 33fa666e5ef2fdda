// SPDX-License-Identifier: GPL-2.0
// The fields of a VMCS that are not guest registers: controls and host state.
#pragma once

#include "vmx/entry.h"
#include "vmx/host_state.h"

namespace {

// Returns early if the write fails.
#define VRC_WRITE(vmcs, field, value) \
	VREGCACHE_TRY((vmcs).write(vregcache::field, static_cast<typename decltype(vregcache::field)::Value>(value)))

// Bits that a guest may change without an exit: they affect nothing that the host must track.
constexpr u64 kCr0GuestOwned = cr0::kTs;

constexpr u64 kCr4GuestOwned = cr4::kPvi | cr4::kTsd | cr4::kDe | cr4::kPge | cr4::kPce | cr4::kOsfxsr |
			       cr4::kOsxmmexcpt;

inline Result<void> write_controls(const LoadedVmcs& vmcs, ControlFields& controls, u64 ept_pointer, u64 tsc_offset);

// Host state that is the same on every CPU.
inline Result<void> write_host_state(const LoadedVmcs& vmcs, const EntryFrame& frame);

// Per-CPU host state; after each move to another CPU.
inline Result<void> write_host_cpu_state(const LoadedVmcs& vmcs, HostFields& host);

}  // namespace
