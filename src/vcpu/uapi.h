// SPDX-License-Identifier: GPL-2.0
// The KVM uAPI, whose structures and ioctl numbers /dev/vregcache speaks, and errno values.
#pragma once

// Kernel code has its own check of the types in ioctl numbers; the uapi folders leave it out.
#define _IOC_TYPECHECK(type) (sizeof(type))

#include <asm/errno.h>
#include <linux/kvm.h>

#include "../glue/kernel.h"

namespace {

// A structure from or to the calling process.  -EFAULT.
template <class T>
int copy_from_user(T& to, unsigned long address)
{
	return vrc_host_copy_from_user(&to, address, sizeof(T));
}

template <class T>
int copy_to_user(unsigned long address, const T& from)
{
	return vrc_host_copy_to_user(address, &from, sizeof(T));
}

}  // namespace
