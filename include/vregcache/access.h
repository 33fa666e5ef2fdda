// SPDX-License-Identifier: GPL-2.0 OR MIT
// Access to a VMCS, and the permission for it as a type: a token.
//
// LoadedVmcs: this task owns the vCPU, and its VMCS is the current one of the CPU, for as long as the token is used.
// PinnedVmcs: interrupts are off as well, which write-back and VM-entry need.
//
// Every operation of the cache takes a token.  Only code that loads a VMCS, or that turns interrupts off while one is loaded,
// can make one: a token is made with a Key of the Access, and the Access decides who can make a Key.
#pragma once

#include "concepts.h"
#include "result.h"
#include "vmx_layout.h"

namespace vregcache {

// Names a VMCS: the physical address of its region.
enum class VmcsId : u64 { kNone = ~u64{0} };

// clang-format off
template <class A>
concept VmcsAccess = requires(const A& access, u32 encoding, u64 value, VmcsId id) {
	{ access.vmread(encoding) } -> SameAs<Result<u64>>;
	{ access.vmwrite(encoding, value) } -> SameAs<Result<void>>;
	// Is this VMCS the current one of this CPU?  VmcsId::kNone never is.
	{ access.is_current(id) } -> SameAs<bool>;
	// Make its constructor private, with friends that have earned it.
	typename A::Key;
};
// clang-format on

template <VmcsAccess A>
class LoadedVmcs {
 public:
	VREGCACHE_INLINE LoadedVmcs(A access, const typename A::Key&) : access_(access) {}

	// Reads and writes of fields that are no register: a register's field is touched by its cache alone, or the cache
	// would not know.  The type of the value is the field's.  The cache's hooks are not called; an Access that counts may have
	// uncached_vmread() and uncached_vmwrite(), which are called here.
	template <u32 kEncoding>
		requires(!VmxLayout::caches(kEncoding))
	VREGCACHE_INLINE Result<typename Field<kEncoding>::Value> read(Field<kEncoding>) const
	{
		u64 value = VREGCACHE_TRY(access_.vmread(kEncoding));
		if constexpr (requires { access_.uncached_vmread(); })
			access_.uncached_vmread();
		return static_cast<typename Field<kEncoding>::Value>(value);
	}

	template <u32 kEncoding, AsWideAs<typename Field<kEncoding>::Value> V>
		requires(Field<kEncoding>::kWritable && !VmxLayout::caches(kEncoding))
	VREGCACHE_INLINE Result<void> write(Field<kEncoding>, V value) const
	{
		if constexpr (requires { access_.uncached_vmwrite(); })
			access_.uncached_vmwrite();
		return access_.vmwrite(kEncoding, value);
	}

	VREGCACHE_INLINE const A& access() const { return access_; }

 private:
	[[no_unique_address]] A access_;
};

template <VmcsAccess A>
class PinnedVmcs : public LoadedVmcs<A> {
 public:
	using LoadedVmcs<A>::LoadedVmcs;
};

}  // namespace vregcache
