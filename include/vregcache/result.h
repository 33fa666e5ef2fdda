// SPDX-License-Identifier: GPL-2.0 OR MIT
// Errors are values.  A Result<T> holds a T or an error, and the compiler warns if it is dropped.
#pragma once

#include "concepts.h"
#include "types.h"

namespace vregcache {

enum class Error : u8 {
	kNone = 0,
	kVmFailInvalid,  // there is no current VMCS (SDM Vol. 3C, 31.2)
	kVmFailValid,    // the VM-instruction error field of the current VMCS has the reason (SDM Vol. 3C, 31.4)
	kFault,          // the instruction faulted: the CPU is not in VMX operation
	kNotCurrent,     // the VMCS that belongs to the cache is not the current one of this CPU
	kDirty,          // a register was set and not written back
	kNotBound,       // the cache belongs to no VMCS yet
	kNoRegister,     // no register has the number
};

template <class T>
class [[nodiscard]] Result {
 public:
	// Only from exactly T: a value of another width is a mistake here, not a conversion.
	template <AsWideAs<T> U>
	VREGCACHE_INLINE Result(U value) : value_(value)
	{}
	VREGCACHE_INLINE Result(Error error) : error_(error) {}

	VREGCACHE_INLINE bool ok() const { return error_ == Error::kNone; }
	VREGCACHE_INLINE Error error() const { return error_; }
	VREGCACHE_INLINE T value() const { return value_; }
	VREGCACHE_INLINE T value_or(T other) const { return ok() ? value_ : other; }

 private:
	T value_{};
	Error error_ = Error::kNone;
};

template <>
class [[nodiscard]] Result<void> {
 public:
	VREGCACHE_INLINE Result() = default;
	VREGCACHE_INLINE Result(Error error) : error_(error) {}

	VREGCACHE_INLINE bool ok() const { return error_ == Error::kNone; }
	VREGCACHE_INLINE Error error() const { return error_; }
	VREGCACHE_INLINE void value() const {}

 private:
	Error error_ = Error::kNone;
};

}  // namespace vregcache

// The value of a Result, or return its error from the enclosing function.
#define VREGCACHE_TRY(expression)                      \
	({                                             \
		auto vregcache_try_ = (expression);    \
		if (!vregcache_try_.ok()) [[unlikely]] \
			return vregcache_try_.error(); \
		vregcache_try_.value();                \
	})
