// SPDX-License-Identifier: GPL-2.0
// A vCPU is loaded while its VMCS is the current one on the CPU of the task that uses it.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// Loads a vCPU for its scope, in which this task's VMCS accesses go to the vCPU's VMCS.  If the scheduler moves the task, it
// calls vrc_vcpu_sched_out() and vrc_vcpu_sched_in().
class LoadedVcpu {
 public:
	explicit LoadedVcpu(Vcpu& vcpu) : vcpu_(vcpu), error_(load(vcpu)) {}
	~LoadedVcpu()
	{
		if (!error_) [[likely]]
			put(vcpu_);
		vcpu_.vmcs.forget_task();
	}
	LoadedVcpu(const LoadedVcpu&) = delete;
	LoadedVcpu& operator=(const LoadedVcpu&) = delete;

	// -EIO: the CPUs have left VMX operation for good, and there is no VMCS to work with.  -EINTR: the task has been killed.
	int error() const { return error_; }
	const LoadedVmcs& vmcs() const { return vcpu_.token.vmcs_; }

 private:
	// Static, so that the object can be kept in registers.
	static int load(Vcpu& vcpu);
	static int load_here(Vcpu& vcpu);
	static void put(Vcpu& vcpu);

	Vcpu& vcpu_;
	int error_;
};

}  // namespace
