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

// Copies a structure from or to the calling process.  -EFAULT.
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

// The kernel's copy of an array that an ioctl has in userspace.
template <class T>
class UserArray {
 public:
	explicit UserArray(vrc_u32 count) : count_(count)
	{
		// Never zero bytes, so that nullptr always means out of memory.
		data_ = static_cast<T*>(vrc_host_alloc(count * sizeof(T) + 1));
	}
	~UserArray() { vrc_host_free(data_); }
	UserArray(const UserArray&) = delete;
	UserArray& operator=(const UserArray&) = delete;

	// nullptr: out of memory.
	T* data() { return data_; }
	// -ENOMEM, -EFAULT.
	int copy_in(unsigned long address)
	{
		return data_ ? vrc_host_copy_from_user(data_, address, count_ * sizeof(T)) : -ENOMEM;
	}
	int copy_out(unsigned long address, vrc_u32 count) const
	{
		return vrc_host_copy_to_user(address, data_, count * sizeof(T));
	}

 private:
	vrc_u32 count_;
	T* data_ = nullptr;
};

}  // namespace
