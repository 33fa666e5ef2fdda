// SPDX-License-Identifier: GPL-2.0
// The KVM uAPI, whose structures and ioctl numbers /dev/vregcache uses, and errno values.
#pragma once

#include <asm/errno.h>
#include <linux/stddef.h>
// The kernel pads a flexible array with an empty structure, which has a size in C++; that would change the structures
// and, through them, the ioctl numbers.
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(type, name) type name[0]
// As a client sees it: with __KERNEL__ it includes kernel headers, and renames members that a client may change.
#pragma push_macro("__KERNEL__")
#undef __KERNEL__
#define __EXPORTED_HEADERS__
#include <linux/kvm.h>
#undef __EXPORTED_HEADERS__
#pragma pop_macro("__KERNEL__")

#include "linux/host.h"

namespace {

static_assert(sizeof(kvm_regs) == 144 && sizeof(kvm_sregs) == 312 && sizeof(kvm_fpu) == 416);
static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 && sizeof(kvm_msr_list) == 4);
static_assert(KVM_GET_SUPPORTED_CPUID == 0xc008ae05 && KVM_SET_MSRS == 0x4008ae89);

}  // namespace
