// SPDX-License-Identifier: GPL-2.0
// Interface of the entry code in assembly.
#pragma once

#include <vregcache/gpr.h>

#include "vmx/types.h"

namespace {

// entry.S accesses it by offset.  Its address is in HOST_RSP of the VMCS.
struct EntryFrame {
	vregcache::GprFile gpr;
	u64 host_rsp = 0;  // the stack pointer to load after VM-exit
};
static_assert(__builtin_offsetof(EntryFrame, gpr) == 0);
static_assert(__builtin_offsetof(EntryFrame, host_rsp) == 256);

enum class EntryResult : u8 { kExited = 0, kVmFailInvalid = 1, kVmFailValid = 2, kFault = 3 };

}  // namespace

extern "C" u32 vrc_vmx_enter(EntryFrame* frame, bool resume);
extern "C" const char vrc_vmx_exit[];
