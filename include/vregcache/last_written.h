// SPDX-License-Identifier: GPL-2.0 OR MIT
// A field of the VMCS that only the host changes, and neither a guest nor a VM-exit: controls, the host's state, MSRs whose
// accesses exit.  What was written last is what the VMCS has, so nothing is read back, and writing it again is skipped.
// VMCLEAR keeps the fields in memory, so it stays true when the VMCS moves to another CPU.
#pragma once

#include "hooks.h"

namespace vregcache {

// @kNever: a value that the field cannot have, if there is one; the look whether anything is new is one comparison then.
template <auto kField, auto... kNever>
class Shadowed {
 public:
	static constexpr u32 kEncoding = decltype(kField)::kEncoding;
	using Value = typename decltype(kField)::Value;
	static_assert(decltype(kField)::kWritable, "VM-exits write it");
	static_assert(sizeof...(kNever) <= 1);

	// Writes the field, unless it is known to have this value.  After an error nothing is known of it, and the next value
	// is written whatever it is; value() is still the one before.
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

	// Has the field what was last written?  If not, @report(encoding, value(), what the field has).  False: it cannot be told.
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

	// Somebody else may have written the field.
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

	// For tests and planted faults: they define it, the library does not.
	friend struct ShadowTestAccess;

	Value value_ = 0;
	Value there_ = (Value{} + ... + kNever);  // the same, or @kNever while it is not known
	bool known_ = false;
};

}  // namespace vregcache
