// SPDX-License-Identifier: GPL-2.0
// Copies ioctl arguments from and to the calling process.
#pragma once

#include <asm/errno.h>

#include "linux/host.h"
#include "vmx/types.h"

namespace {

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
	explicit UserArray(u32 count) : count_(count)
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
	int copy_out(unsigned long address, u32 count) const
	{
		return vrc_host_copy_to_user(address, data_, count * sizeof(T));
	}

 private:
	u32 count_;
	T* data_ = nullptr;
};

}  // namespace
