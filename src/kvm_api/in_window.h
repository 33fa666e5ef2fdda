// SPDX-License-Identifier: GPL-2.0
// Ioctls that access the vCPU's VMCS.
#pragma once

#include "kvm_api/user_memory.h"
#include "vcpu/vmcs_error.h"
#include "vcpu/vmcs_window.h"

namespace {

// Runs an ioctl's function in a window, where it must not sleep: what userspace gives and gets is copied before and after.
template <class Function>
long in_window(Vcpu& vcpu, Function function)
{
	Result<long> result = 0L;
	{
		VmcsWindow window(vcpu);
		if (!window.is_open())
			return window.error();
		vcpu.cache.watching_changed(window.vmcs());
		result = function(window.vmcs());
	}
	return result.ok() ? result.value() : report_vmcs_error(vcpu, result.error());
}

// An ioctl that returns a structure.
template <class T, Result<void> (*kFunction)(Vcpu&, const LoadedVmcs&, T&)>
long get(Vcpu& vcpu, unsigned long argument)
{
	T value = {};
	const long error = in_window(vcpu, [&](const LoadedVmcs& vmcs) -> Result<long> {
		VREGCACHE_TRY(kFunction(vcpu, vmcs, value));
		return 0L;
	});
	return error ? error : copy_to_user(argument, value);
}

// An ioctl that takes one.
template <class T, Result<long> (*kFunction)(Vcpu&, const LoadedVmcs&, const T&)>
long set(Vcpu& vcpu, unsigned long argument)
{
	T value;
	if (int error = copy_from_user(value, argument))
		return error;
	return in_window(vcpu, [&](const LoadedVmcs& vmcs) { return kFunction(vcpu, vmcs, value); });
}

}  // namespace
