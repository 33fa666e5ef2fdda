// SPDX-License-Identifier: GPL-2.0
// Makes a vCPU's VMCS the current one on the CPU of the calling task.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// Within its scope, this task's VMCS accesses go to the vCPU's VMCS.
class VcpuResidence {
 public:
	explicit VcpuResidence(Vcpu& vcpu) : vcpu_(vcpu) { error_ = vrc_host_vcpu_get(vcpu.host, vcpu.vmcs.task()); }
	~VcpuResidence()
	{
		if (!error_)
			vrc_host_vcpu_put(vcpu_.host);
		vcpu_.vmcs.forget_task();
	}
	VcpuResidence(const VcpuResidence&) = delete;
	VcpuResidence& operator=(const VcpuResidence&) = delete;

	// -EIO: the CPUs have left VMX operation for good, and there is no VMCS to work with.  -EINTR: the task has been killed.
	int error() const { return error_; }
	const LoadedVmcs& vmcs() const { return vcpu_.token.vmcs_; }

 private:
	Vcpu& vcpu_;
	int error_ = 0;
};

}  // namespace
