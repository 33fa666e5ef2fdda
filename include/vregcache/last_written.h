// SPDX-License-Identifier: GPL-2.0 OR MIT
// A VMCS field that only the host changes, neither a guest nor a VM-exit: controls, the host's state, MSRs whose accesses exit.
// The VMCS has the value that was written last, so it is never read back, and writing the same value again is skipped.
// VMCLEAR keeps the fields, so this holds when the VMCS moves to another CPU, too.
#pragma once

#include "hooks.h"

namespace vregcache {

// @kNever: a value that the field cannot have, if there is one.  Then one comparison decides whether to write.
template <auto kField, auto... kNever>
class LastWritten {
 public:
	static constexpr u32 kEncoding = decltype(kField)::kEncoding;
	using Value = typename decltype(kField)::Value;
	static_assert(decltype(kField)::kWritable, "VM-exits write it");
	static_assert(sizeof...(kNever) <= 1);

	// Writes the field, unless it is known to have this value.  After an error its value is unknown: the next set() writes in
	// any case, and value() is still the one before.
	template <class Access, AsWideAs<Value> V>
	[[gnu::always_inline]] Result<void> set(const LoadedVmcs<Access>& vmcs, V value)
	{
		if constexpr (sizeof...(kNever) == 1) {
			if (there_ == value) [[likely]]
				return {};
		} else if (known_ && value_ == value) [[likely]] {
			return {};
		}
		return write(vmcs, value);
	}

	// The value that was last written with success.
	VREGCACHE_INLINE Value value() const { return value_; }
	VREGCACHE_INLINE bool known() const { return known_; }

	// Compares the field with the value that was written last; if they differ, calls @report(encoding, value(), the field's
	// value).  Returns false if that value is not known, or the field could not be read.
	template <VerifiableAccess Access, class Report>
	bool verify(const LoadedVmcs<Access>& vmcs, Report report) const
	{
		if (!known_)
			return false;
		Result<u64> field = vmcs.access().verify_read(kEncoding);
		if (!field.ok())
			return false;
		if (field.value() != value_)
			report(kEncoding, u64{value_}, field.value());
		return true;
	}

	// The field may have been written in another way.
	VREGCACHE_INLINE void forget()
	{
		known_ = false;
		there_ = (Value{} + ... + kNever);
	}

 private:
	template <class Access>
	[[gnu::always_inline]] Result<void> write(const LoadedVmcs<Access>& vmcs, Value value)
	{
		forget();
		VREGCACHE_TRY(vmcs.write(Field<kEncoding>(), value));
		value_ = there_ = value;
		known_ = true;
		return {};
	}

	// Tests define it, to plant faults.
	friend struct LastWrittenTestAccess;

	Value value_ = 0;
	Value there_ = (Value{} + ... + kNever);  // the same, or @kNever while it is not known
	bool known_ = false;
};

}  // namespace vregcache
