// SPDX-License-Identifier: GPL-2.0
// Failed accesses to a VMCS.
#include "machine.h"
#include "vcpu/vmcs_error.h"

namespace {

inline const char* error_text(Error error)
{
	switch (error) {
	case Error::kVmFailInvalid:
		return "VMfailInvalid: no VMCS is current";
	case Error::kVmFailValid:
		return "VMfailValid: the CPU does not support the field";
	case Error::kFault:
		return "the instruction faulted: the CPU is not in VMX operation";
	case Error::kNotCurrent:
		return "another VMCS is current, or the CPU is not in VMX operation";
	case Error::kDirty:
		return "a register changed after the write-back";
	case Error::kNotBound:
		return "the register cache is not bound to a VMCS";
	default:
		return "there is no such register";
	}
}

inline long report_vmcs_error(const Vcpu& vcpu, Error error)
{
	// The failure is expected: a reboot has begun.
	if ((error == Error::kNotCurrent || error == Error::kFault) && cpu_state() == -EIO)
		return -EIO;
	vrc_host_error("vCPU %u: access to its VMCS failed (%s); destroy the vCPU and report this as a bug", vcpu.id,
		       error_text(error));
	return -EIO;
}

}  // namespace
