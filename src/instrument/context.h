// SPDX-License-Identifier: GPL-2.0
// Checks the context in which a vCPU's register cache is used.  The rule itself is in linux/context.c.
#pragma once

#include <vregcache/hooks.h>

#include "linux/host.h"
#include "instrument/call_aside.h"
#include "instrument/static_key.h"

extern static_key_false g_check_context asm("vrc_check_context_key");

namespace {

// With lockdep in the kernel each use is checked.  Otherwise it is checked while the module parameter check_context is on, and
// costs one NOP while it is off.
class CallingContext {
 public:
	// The vCPU to check, and to report by number; to be set before the vCPU is used.
	void set_vcpu(const vrc_host_vcpu* vcpu) { vcpu_ = vcpu; }

	[[gnu::always_inline]] void check(vregcache::Operation operation, vregcache::Reg reg) const
	{
#ifndef CONFIG_LOCKDEP
		if (!is_on<g_check_context>()) [[likely]]
			return;
#endif
		VRC_CALL_ASIDE(vrc_check_context, reinterpret_cast<u64>(vcpu_),
			       VRC_CONTEXT_WHAT(operation, vregcache::index(reg)),
			       reinterpret_cast<u64>(__builtin_return_address(0)));
	}

 private:
	const vrc_host_vcpu* vcpu_ = nullptr;
};

}  // namespace
