// SPDX-License-Identifier: GPL-2.0
// A virtual machine: its memory, and the vCPU numbers in use.
#pragma once

#include "vcpu/guest_memory.h"

namespace {

// Holds the memory lock for a scope.
class MemoryGuard {
 public:
	explicit MemoryGuard(vrc_host_vm* host) : host_(host) { vrc_host_memory_lock(host_); }
	~MemoryGuard() { vrc_host_memory_unlock(host_); }
	MemoryGuard(const MemoryGuard&) = delete;
	MemoryGuard& operator=(const MemoryGuard&) = delete;

 private:
	vrc_host_vm* host_;
};

struct Vm {
	vrc_host_vm* host = nullptr;
	GuestMemory memory;
	u64 vcpu_ids = 0;    // one bit each; under the memory lock
	u64 tsc_offset = 0;  // the guest's TSC is zero when the virtual machine is created
};

static_assert(VRC_MAX_VCPUS <= 64);

// C code knows it by an opaque type.
inline Vm& vm_of(vrc_vm* vm) { return *reinterpret_cast<Vm*>(vm); }

}  // namespace
