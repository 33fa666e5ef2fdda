// SPDX-License-Identifier: GPL-2.0
// A vCPU's VMCS below its register cache, which learns nothing of it.  For tests alone.
#pragma once

#include "pmi.h"

namespace {

inline int errno_of(Error error)
{
	switch (error) {
	case Error::kNone:
		return 0;
	case Error::kVmFailValid:
		return -EINVAL;
	case Error::kVmFailInvalid:
		return -ENXIO;
	default:
		return -EIO;
	}
}

}  // namespace

extern "C" int vrc_vcpu_raw_vmread(struct vrc_vcpu* handle, vrc_u32 encoding, vrc_u64* value)
{
	VcpuResidence residence(vcpu_of(handle));
	if (residence.error())
		return residence.error();
	Result<u64> read = vmread(encoding);
	*value = read.value_or(0);
	return errno_of(read.error());
}

extern "C" int vrc_vcpu_raw_vmwrite(struct vrc_vcpu* handle, vrc_u32 encoding, vrc_u64 value)
{
	VcpuResidence residence(vcpu_of(handle));
	if (residence.error())
		return residence.error();
	return errno_of(vmwrite(encoding, value).error());
}

extern "C" int vrc_vcpu_raw_vmclear(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	VcpuResidence residence(vcpu);
	if (residence.error())
		return residence.error();
	return errno_of(vmclear(static_cast<u64>(vcpu.vmcs.id())).error());
}

extern "C" void vrc_vcpu_pmi_compare(struct vrc_vcpu* handle, struct vrc_pmi_comparison* comparison)
{
	Vcpu& vcpu = vcpu_of(handle);
	PinnedVmcs vmcs = begin_pmi_access(vcpu);
	*comparison = {};
	for (vregcache::RegSet rest = vregcache::RegSet::all(); !rest.empty(); rest -= rest.first()) {
		Reg reg = rest.first();
		Result<u64> cached = vcpu.cache.read(vmcs, reg);
		Result<u64> raw = vmread(vregcache::VmxLayout::encoding(reg));
		comparison->registers++;
		if (cached.ok() && raw.ok() && cached.value() == raw.value())
			continue;
		if (!comparison->differences++) {
			comparison->first = index(reg);
			comparison->in_memory = cached.value_or(0);
			comparison->in_vmcs = raw.value_or(0);
		}
	}
	comparison->rip = vcpu.cache.peek(Reg::kRip);
	comparison->rflags = vcpu.cache.peek(Reg::kRflags);
	comparison->rsp = vcpu.cache.peek(Reg::kRsp);
	for (u32 number = 0; number < 16; number++)
		comparison->gpr[number] = vcpu.gpr()[static_cast<Gpr>(number)];
}
