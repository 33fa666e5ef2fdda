// SPDX-License-Identifier: GPL-2.0
// Verification: while the module parameter verify is on, each vCPU's cache, and each last-written field, is compared with the
// VMCS.  src/linux/verify.c reports the differences.
#pragma once

#include <vregcache/hooks.h>
#include <vregcache/vmx_layout.h>

#include "linux/host.h"
#include "vmx/explain/field_name.h"
#include "instrument/names.h"
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

	VREGCACHE_COLD void mismatch(vregcache::FoundAt where, vregcache::Reg reg, u64 in_memory, u64 in_vmcs)
	{
		const Origin& origin = origin_[index(reg)];
		bool known = origin.period == __atomic_load_n(&vrc_verify_period, __ATOMIC_RELAXED) &&
			     origin.period & 1;
		vrc_mismatch mismatch = about(where);
		mismatch.reg = index(reg);
		mismatch.field = vregcache::VmxLayout::encoding(reg);
		mismatch.cached_by = known ? static_cast<u32>(origin.how) : VRC_CACHED_BEFORE_VERIFICATION;
		mismatch.caller = known ? reinterpret_cast<vrc_u64>(origin.who) : 0;
		mismatch.memory = in_memory;
		mismatch.vmcs = in_vmcs;
		vrc_report_mismatch(&mismatch);
	}

	VREGCACHE_COLD void wrong_vmcs(vregcache::FoundAt where, VmcsId expected, VmcsId current)
	{
		vrc_mismatch mismatch = about(where);
		mismatch.reg = VRC_NOT_A_REGISTER;
		mismatch.cached_by = VRC_CACHED_BY_VMPTRLD;
		mismatch.memory = static_cast<u64>(expected);
		mismatch.vmcs = static_cast<u64>(current);
		vrc_report_mismatch(&mismatch);
	}

	// A last-written field, which is not a register of the cache.  At VM-entry, where all of them are compared.
	VREGCACHE_COLD void last_written_mismatch(u32 encoding, u64 in_memory, u64 in_vmcs)
	{
		vrc_mismatch mismatch = about(vregcache::FoundAt::kVmEntry);
		mismatch.reg = VRC_NOT_A_REGISTER;
		mismatch.field = encoding;
		mismatch.name = field_name(encoding);
		mismatch.cached_by = VRC_CACHED_BY_LAST_WRITE;
		mismatch.memory = in_memory;
		mismatch.vmcs = in_vmcs;
		vrc_report_mismatch(&mismatch);
	}

	void set_vcpu(u32 id) { vcpu_ = id; }

 private:
	// The caller that cached a register's value, and when.
	struct Origin {
		const void* who;
		u32 period;  // of verification
		vregcache::Operation how;
	};

	vrc_mismatch about(vregcache::FoundAt where) const
	{
		vrc_mismatch mismatch = {};
		mismatch.vcpu = vcpu_;
		mismatch.at = static_cast<u32>(where);
		return mismatch;
	}

	u32 vcpu_ = 0;
	Origin origin_[index(vregcache::Reg::kEnd)] = {};
};

}  // namespace
