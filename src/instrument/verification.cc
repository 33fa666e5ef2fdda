// SPDX-License-Identifier: GPL-2.0
// Reports of a vCPU's verification.
#include "instrument/verification.h"

#include <vregcache/vmx_layout.h>

#include "vmx/explain/field_name.h"

namespace {

inline vrc_mismatch Verification::about(vregcache::FoundAt where) const
{
	vrc_mismatch mismatch = {};
	mismatch.vcpu = vcpu_;
	mismatch.at = static_cast<u32>(where);
	return mismatch;
}

VREGCACHE_COLD void Verification::mismatch(vregcache::FoundAt where, vregcache::Reg reg, u64 in_memory, u64 in_vmcs)
{
	const Origin& origin = origin_[index(reg)];
	bool known = origin.period == __atomic_load_n(&vrc_verify_period, __ATOMIC_RELAXED) && origin.period & 1;
	vrc_mismatch mismatch = about(where);
	mismatch.reg = index(reg);
	mismatch.field = vregcache::VmxLayout::encoding(reg);
	mismatch.cached_by = known ? static_cast<u32>(origin.how) : VRC_CACHED_BEFORE_VERIFICATION;
	mismatch.caller = known ? reinterpret_cast<vrc_u64>(origin.who) : 0;
	mismatch.memory = in_memory;
	mismatch.vmcs = in_vmcs;
	vrc_report_mismatch(&mismatch);
}

VREGCACHE_COLD void Verification::wrong_vmcs(vregcache::FoundAt where, VmcsId expected, VmcsId current)
{
	vrc_mismatch mismatch = about(where);
	mismatch.reg = VRC_NOT_A_REGISTER;
	mismatch.cached_by = VRC_CACHED_BY_VMPTRLD;
	mismatch.memory = static_cast<u64>(expected);
	mismatch.vmcs = static_cast<u64>(current);
	vrc_report_mismatch(&mismatch);
}

VREGCACHE_COLD void Verification::last_written_mismatch(u32 encoding, u64 in_memory, u64 in_vmcs)
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

}  // namespace
