// SPDX-License-Identifier: GPL-2.0
// The module's VMCS access for the register cache: the CPU's VMREAD and VMWRITE.
#pragma once

#include <vregcache/hooks.h>

#include "linux/host.h"
#include "vmx/instructions.h"
#include "vmx/types.h"

namespace {

// No VMCS is current.  Not VmcsId::kNone, so that is_current() is false for a cache that belongs to no VMCS.
constexpr VmcsId kNoCurrentVmcs{VRC_NO_CURRENT_VMCS};
static_assert(kNoCurrentVmcs != VmcsId::kNone);

// The VMCS that is current on this CPU.  One instruction, so that the task cannot migrate between computing the variable's
// address and reading it.
[[gnu::always_inline]] inline VmcsId current_vmcs()
{
	VmcsId current;
	asm volatile("movq %%gs:vrc_current_vmcs, %0" : "=r"(current));
	return current;
}

// Preemption off.
inline void set_current_vmcs(VmcsId vmcs) { asm volatile("movq %0, %%gs:vrc_current_vmcs" : : "r"(vmcs) : "memory"); }

// Numbers of VMREADs, VMWRITEs and reads served from memory.
struct AccessCounters {
	u64 hits = 0;
	u64 vmreads = 0;
	u64 vmwrites = 0;
};

// Defined in the vCPU's layer (vcpu/vmcs_token.h).
class VmcsKey;

class RawVmx {
 public:
	using Key = VmcsKey;

	// @uncached: counts accesses to fields that are not registers; the cache's hooks count those to registers.
	[[gnu::always_inline]] explicit RawVmx(AccessCounters& uncached) : uncached_(&uncached) {}

	[[gnu::always_inline]] static Result<u64> vmread(u32 encoding) { return ::vmread(encoding); }
	[[gnu::always_inline]] static Result<void> vmwrite(u32 encoding, u64 value)
	{
		return ::vmwrite(encoding, value);
	}
	[[gnu::always_inline]] void uncached_vmread() const { uncached_->vmreads++; }
	[[gnu::always_inline]] void uncached_vmwrite() const { uncached_->vmwrites++; }

	[[gnu::always_inline]] bool is_current(VmcsId vmcs) const { return current_vmcs() == vmcs; }

	// For verification, which must not change the counters that it verifies: not counted.
	Result<u64> verify_read(u32 encoding) const { return ::vmread(encoding); }

	// In a window: the VMCS cannot be cleared, and the record with it, between the check and VMPTRST.
	VmcsId really_current(VmcsId believed) const;

 private:
	AccessCounters* uncached_;
};

static_assert(vregcache::VerifiableAccess<RawVmx>);

using LoadedVmcs = vregcache::LoadedVmcs<RawVmx>;
using PinnedVmcs = vregcache::PinnedVmcs<RawVmx>;

}  // namespace
