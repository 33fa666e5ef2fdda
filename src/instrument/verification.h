// SPDX-License-Identifier: GPL-2.0
// Verification: while the module parameter verify is on, each vCPU's cache, and each last-written field, is compared with the
// VMCS.  src/linux/verify.c reports the differences.
#pragma once

#include <vregcache/hooks.h>

#include "linux/host.h"
#include "instrument/static_key.h"
#include "vmx/types.h"

extern static_key_false g_verify_key asm("vrc_verify_key");

namespace {

[[gnu::always_inline]] inline bool verifies() { return is_on<g_verify_key>(); }

inline void count_verified(unsigned what) { __atomic_fetch_add(&vrc_verified[what], 1, __ATOMIC_RELAXED); }

// Receives the reports of a vCPU's cache while it is verified.
class Verification {
 public:
	void cached(vregcache::Reg reg, vregcache::Operation how, const void* who)
	{
		origin_[index(reg)] = {who, __atomic_load_n(&vrc_verify_period, __ATOMIC_RELAXED), how};
	}

	void compared(vregcache::FoundAt where)
	{
		count_verified(where == vregcache::FoundAt::kHit ? VRC_VERIFIED_HITS : VRC_VERIFIED_REGISTERS);
	}

	// A cached register differs from its field.
	void mismatch(vregcache::FoundAt where, vregcache::Reg reg, u64 in_memory, u64 in_vmcs);
	// The current VMCS is not the cache's.
	void wrong_vmcs(vregcache::FoundAt where, VmcsId expected, VmcsId current);
	// A last-written field, which is not a register of the cache.  At VM-entry, where all of them are compared.
	void last_written_mismatch(u32 encoding, u64 in_memory, u64 in_vmcs);

	void set_vcpu(u32 id) { vcpu_ = id; }

 private:
	// The caller that cached a register's value, and when.
	struct Origin {
		const void* who;
		u32 period;  // of verification
		vregcache::Operation how;
	};

	vrc_mismatch about(vregcache::FoundAt where) const;

	u32 vcpu_ = 0;
	Origin origin_[index(vregcache::Reg::kEnd)] = {};
};

}  // namespace
