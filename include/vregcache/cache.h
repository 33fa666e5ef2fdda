// SPDX-License-Identifier: GPL-2.0 OR MIT
// The register cache: a vCPU's registers in memory, in front of its VMCS.
//
// Two bits for each register:
//
//	available  dirty
//	    0        0    in the VMCS only
//	    1        0    cached, and the VMCS has the same value
//	    1        1    cached, and to be written back before VM-entry
//	    0        1    impossible
//
// A read of an available register touches no field.  A miss reads the register's field once, and marks it available after
// the value is cached: an interrupt in between finds a register that is not available, never a stale value.  A failed VMREAD
// or VMWRITE changes no bit of its register, and the caller gets the error.
//
// A third bit, fast path, is set while the register is available and the hooks do not watch reads (hooks.h).  With it, a read()
// takes three instructions; without it, a read() is a call.  It is set after "available", and cleared before.
//
// The cycle is: write_back(), VM-entry, VM-exit, vm_exit(), reads and writes, write_back(), ...
#pragma once

#include "access.h"
#include "hooks.h"
#include "register.h"
#include "result.h"

namespace vregcache {

template <VmcsAccess Access, CacheHooks Hooks = NoHooks>
class Cache {
	using Layout = VmxLayout;
	static_assert(!Hooks::kMayVerify || VerifiableAccess<Access>);

 public:
	using Loaded = LoadedVmcs<Access>;
	using Pinned = PinnedVmcs<Access>;

	template <Reg kReg>
	using Value = typename Layout::template Value<kReg>;

	// Makes the cache belong to a VMCS, and forgets the values of the one before.  Values that were set while it belonged to
	// none are for the first one.
	// Error::kDirty: a register has a value that was not written back to the VMCS before.
	Result<void> bind(const Loaded&, VmcsId vmcs)
	{
		hooks_.check(Operation::kBind, kNoReg);
		if (vmcs == vmcs_)
			return {};
		if (vmcs_ != VmcsId::kNone && !dirty_.empty())
			return Error::kDirty;
		forget(RegSet::all() - dirty_);
		vmcs_ = vmcs;
		return {};
	}

	// The register's value: the cached one, or else the VMCS's.
	// Error::kVmFail*, kFault: the VMREAD failed.  kNotCurrent: another VMCS is current.
	template <Reg kReg>
		requires(is_register(kReg))
	[[gnu::always_inline]] Result<Value<kReg>> read(const Loaded& vmcs)
	{
		if (!fast_path_.contains(kReg)) [[unlikely]] {
			u64 value = VREGCACHE_TRY(read_slowly(vmcs.access(), kReg));
			return static_cast<Value<kReg>>(value);
		}
		return static_cast<Value<kReg>>(value_[index(kReg)]);
	}

	// The same for a register whose number is known at run time only.  Error::kNoRegister: no register has the number.
	[[gnu::always_inline]] Result<u64> read(const Loaded& vmcs, Reg reg)
	{
		if (!is_register(reg)) [[unlikely]] {
			hooks_.check(Operation::kRead, kNoReg);
			return no_register(index(reg));
		}
		if (!fast_path_.contains(reg)) [[unlikely]]
			return read_slowly(vmcs.access(), reg);
		return value_[index(reg)];
	}

	// The same for several at once, in this order: their VMREADs are inline, after one check of which VMCS is current.
	// After an error the registers that were read are available, and @values are unspecified.
	template <Reg... kRegs, class... V>
		requires(sizeof...(kRegs) == sizeof...(V) && (is_register(kRegs) && ...) &&
			 (AsWideAs<V, Value<kRegs>> && ...))
	[[gnu::always_inline]] Result<void> read_all(const Loaded& vmcs, V&... values)
	{
		constexpr RegSet kSet(kRegs...);
		if ((available_ & kSet).empty() && !hooks_.watches_reads()) [[likely]]
			return read_missing<kRegs...>(vmcs.access(), values...);
		if (!fast_path_.contains(kSet))
			VREGCACHE_TRY(read_rest<kRegs...>(vmcs.access()));
		((values = static_cast<V>(value_[index(kRegs)])), ...);
		return {};
	}

	// Sets the register.  The next write_back() writes it to the VMCS, unless the VMCS is known to have that value.
	template <Reg kReg, AsWideAs<Value<kReg>> V>
		requires(is_register(kReg) && Layout::writable(kReg))
	[[gnu::always_inline]] void write(const Loaded&, V value)
	{
		if (!fast_path_.contains(kReg)) [[unlikely]] {
			write_slowly(kReg, value);
		} else if (value_[index(kReg)] != value) {
			value_[index(kReg)] = value;
			compiler_barrier();
			dirty_ |= kReg;
		}
	}

	// Error::kNoRegister: no register has the number, or its field is read-only.  The value is cut to the width of the field.
	Result<void> write(const Loaded&, Reg reg, u64 value)
	{
		if (!is_register(reg) || !Layout::writable(reg)) [[unlikely]] {
			hooks_.check(Operation::kWrite, kNoReg);
			return no_register(index(reg));
		}
		write_slowly(reg, value & width_mask(reg));
		return {};
	}

	// Drops the cached values of these registers, dirty ones too: the VMCS has newer ones, and the next read takes them.  KVM:
	// kvm_register_mark_for_reload().
	void mark_for_reload(const Loaded&, RegSet set)
	{
		hooks_.check(Operation::kReload, kNoReg);
		dirty_ -= set;
		compiler_barrier();
		forget(set);
	}

	// Writes each dirty register to the VMCS, once.  After an error the register that failed and those that were not reached
	// stay dirty, and VM-entry must not follow.
	Result<void> write_back(const Pinned& vmcs)
	{
		hooks_.check(Operation::kWriteBack, kNoReg);
		if (hooks_.verifies()) [[unlikely]]
			return write_back_and_verify(vmcs.access());
		return store_dirty(vmcs.access());
	}

	// After each VM-exit, before anything is read: the guest may have changed the registers that it owns.
	// Error::kDirty: a register was set after write_back(), so the guest ran without it.  It stays dirty.
	[[gnu::always_inline]] Result<void> vm_exit(const Pinned& vmcs)
	{
		Result<void> result = vm_exit_untraced(vmcs);
		report_vm_exit(vmcs);
		return result;
	}

	// After VMfail of VMLAUNCH or VMRESUME: the guest did not run, so the cached guest state is still right.
	void vm_fail(const Pinned&)
	{
		hooks_.check(Operation::kVmEntryFailed, kNoReg);
		forget(Layout::exit_information());
	}

	// After a VM-entry failure (exit reason bit 31).  It is a VM-exit that saves no guest state and writes no IDT-vectoring
	// information (SDM Vol. 3C, 27.8).  That information is not read: no event was being delivered, so it is cached as zero.
	void vm_entry_failure_exit(const Pinned&)
	{
		hooks_.check(Operation::kVmEntryFailed, kNoReg);
		forget(Layout::exit_information());
		for (RegSet set = Layout::not_of_entry_failures(); !set.empty(); set -= set.first())
			fill(set.first(), 0, Operation::kVmEntryFailed, __builtin_return_address(0));
	}

	// No register has this number.  Also for callers that keep other registers beside the cache.
	VREGCACHE_OUT_OF_LINE Error no_register(u32 number)
	{
		hooks_.no_register(number);
		return Error::kNoRegister;
	}

	// The next three are for code between host and guest, which must not be traced or probed: all of it is inlined, no hook is
	// called but watches_reads(), and none of them puts a register on the fast path.

	// As vm_exit().  report_vm_exit() must follow when tracing is allowed again.
	[[gnu::always_inline]] Result<void> vm_exit_untraced(const Pinned&)
	{
		if (dirty_.empty()) [[likely]] {
			keep(available_ - Layout::lazy());
			return {};
		}
		keep(available_ - (Layout::lazy() - dirty_));
		return Error::kDirty;
	}

	// As read().
	template <Reg kReg>
		requires(is_register(kReg))
	[[gnu::always_inline]] Result<Value<kReg>> read_untraced(const Loaded& vmcs)
	{
		if (available_.contains(kReg))
			return static_cast<Value<kReg>>(value_[index(kReg)]);
		VREGCACHE_TRY(check_current(vmcs.access()));
		u64 value = VREGCACHE_TRY(vmcs.access().vmread(Layout::encoding(kReg)));
		store(kReg, value);
		return static_cast<Value<kReg>>(value);
	}

	// Caches @value, which the caller has read from the VMCS itself, in assembly for example.
	// Returns true if the register was available, perhaps with a newer value: @value was not taken.  KVM:
	// kvm_register_test_and_mark_available().
	template <Reg kReg, AsWideAs<Value<kReg>> V>
		requires(is_register(kReg))
	[[gnu::always_inline]] bool test_and_mark_available(const Loaded&, V value)
	{
		if (available_.contains(kReg))
			return true;
		store(kReg, value);
		return false;
	}

	// Calls the hooks for vm_exit_untraced(), and for the VMREADs of these registers by read_untraced() since.
	template <Reg... kRead>
		requires(is_register(kRead) && ...)
	[[gnu::always_inline]] void report_vm_exit(const Pinned&)
	{
		hooks_.check(Operation::kVmExit, kNoReg);
		hooks_.invalidate(Layout::lazy() - dirty_);
		(hooks_.miss(kRead, value_[index(kRead)]), ...);
		if constexpr (sizeof...(kRead)) {
			if (hooks_.verifies()) [[unlikely]]
				(hooks_.cached(kRead, Operation::kRead, __builtin_return_address(0)), ...);
		}
	}

	// The hooks' watches_reads() may have changed.  Each operation that forgets a register, such as vm_exit(), notices it, too.
	[[gnu::always_inline]] void watching_changed(const Loaded&)
	{
		hooks_.check(Operation::kWatchingChanged, kNoReg);
		keep(available_);
	}

	// State, for checks and tests.
	RegSet available() const { return available_; }
	RegSet dirty() const { return dirty_; }
	RegSet fast_path() const { return fast_path_; }
	bool is_available(Reg reg) const { return is_register(reg) && available_.contains(reg); }
	bool is_dirty(Reg reg) const { return is_register(reg) && dirty_.contains(reg); }
	VmcsId vmcs() const { return vmcs_; }
	// The cached value of a register, or 0.  It touches no field, and no hook is called: for traces, and for registers that are
	// known to be available.
	u64 peek(Reg reg) const { return available_.contains(reg) ? value_[index(reg)] : 0; }
	[[gnu::always_inline]] Hooks& hooks() { return hooks_; }

 private:
	// Tests define it, to plant faults.
	friend struct CacheTestAccess;

	static constexpr u64 width_mask(Reg reg)
	{
		switch (field_width(Layout::encoding(reg))) {
		case FieldWidth::k16:
			return 0xffff;
		case FieldWidth::k32:
			return 0xffffffff;
		default:
			return ~u64{0};
		}
	}

	// The store to memory before it comes before the one after it, for an interrupt on this CPU.
	[[gnu::always_inline]] static void compiler_barrier() { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

	[[gnu::always_inline]] Result<void> check_current(const Access& access) const
	{
		if (!access.is_current(vmcs_)) [[unlikely]]
			return vmcs_ == VmcsId::kNone ? Error::kNotBound : Error::kNotCurrent;
		return {};
	}

	// None of them is available, and hits are not observed: what they have in common is done once.
	template <Reg... kRegs, class... V>
	[[gnu::always_inline]] Result<void> read_missing(const Access access, V&... values)
	{
		constexpr RegSet kSet(kRegs...);
		VREGCACHE_TRY(check_current(access));
		RegSet read;
		Error error = Error::kNone;
		if (!(read_field<kRegs>(access, values, read, error) && ...)) [[unlikely]] {
			// Those after the one that failed were not tried.
			keep_some(read);
			// For the compiler: the caller always finds an error here.
			if (error == Error::kNone)
				__builtin_unreachable();
			return error;
		}
		compiler_barrier();
		available_ |= kSet;
		compiler_barrier();
		tell_misses<kRegs...>();
		fast_path_ |= kSet;
		return {};
	}

	// Its value comes to memory, and it is not available yet.
	template <Reg kReg, class V>
	[[gnu::always_inline]] bool read_field(const Access& access, V& value, RegSet& read, Error& error)
	{
		Result<u64> field = access.vmread(Layout::encoding(kReg));
		if (!field.ok()) [[unlikely]] {
			error = field.error();
			return false;
		}
		value_[index(kReg)] = field.value();
		value = static_cast<V>(field.value());
		read |= kReg;
		return true;
	}

	// In one call, if the hooks have misses().
	template <Reg... kRegs>
	[[gnu::always_inline]] void tell_misses()
	{
		if constexpr (requires { hooks_.misses(RegSet(kRegs...), value_); }) {
			hooks_.misses(RegSet(kRegs...), value_);
		} else {
			(hooks_.miss(kRegs, value_[index(kRegs)]), ...);
		}
	}

	// Of several registers only those of @read could be read.
	VREGCACHE_COLD void keep_some(RegSet read)
	{
		compiler_barrier();
		available_ |= read;
		for (; !read.empty(); read -= read.first())
			hooks_.miss(read.first(), value_[index(read.first())]);
	}

	// Some are available, or hits are observed.
	template <Reg... kRegs>
	VREGCACHE_OUT_OF_LINE Result<void> read_rest(Access access)
	{
		constexpr RegSet kSet(kRegs...);
		constexpr Reg kOrder[] = {kRegs...};
		hooks_.check(Operation::kRead, kOrder[0]);
		if (!available_.contains(kSet))
			VREGCACHE_TRY(check_current(access));
		for (Reg reg : kOrder)
			VREGCACHE_TRY(read_checked(access, reg, __builtin_return_address(0)));
		if (!hooks_.watches_reads())
			fast_path_ |= kSet;
		return {};
	}

	// One copy for all registers, because it is called in many places.
	VREGCACHE_OUT_OF_LINE Result<u64> read_slowly(Access access, Reg reg)
	{
		hooks_.check(Operation::kRead, reg);
		return read_checked(access, reg, __builtin_return_address(0));
	}

	[[gnu::always_inline]] Result<u64> read_checked(const Access& access, Reg reg, const void* caller)
	{
		if (!available_.contains(reg)) {
			VREGCACHE_TRY(check_current(access));
			if (hooks_.verifies()) [[unlikely]]
				VREGCACHE_TRY(verify_current(access, FoundAt::kMiss));
			u64 value = VREGCACHE_TRY(access.vmread(Layout::encoding(reg)));
			fill(reg, value, Operation::kRead, caller);
			hooks_.miss(reg, value);
			return value;
		}
		if (hooks_.watches_reads()) {
			hooks_.hit(reg);
			if (hooks_.verifies()) [[unlikely]]
				verify_hit(access, reg);
		}
		return value_[index(reg)];
	}

	VREGCACHE_OUT_OF_LINE void write_slowly(Reg reg, u64 value)
	{
		hooks_.check(Operation::kWrite, reg);
		if (available_.contains(reg) && value_[index(reg)] == value)
			return;
		fill(reg, value, Operation::kWrite, __builtin_return_address(0));
		compiler_barrier();
		dirty_ |= reg;
	}

	// At each instruction an available register has its value, and a register on the fast path is available.
	[[gnu::always_inline]] void store(Reg reg, u64 value)
	{
		value_[index(reg)] = value;
		compiler_barrier();
		available_ |= reg;
	}

	[[gnu::always_inline]] void fill(Reg reg, u64 value, Operation how, const void* caller)
	{
		store(reg, value);
		compiler_barrier();
		if (!hooks_.watches_reads())
			fast_path_ |= reg;
		else if (hooks_.verifies()) [[unlikely]]
			hooks_.cached(reg, how, caller);
	}

	[[gnu::always_inline]] Result<void> store_dirty(const Access& access)
	{
		if (dirty_.empty())
			return {};
		VREGCACHE_TRY(check_current(access));
		RegSet left = dirty_;
		do {
			Reg reg = left.first();
			u64 value = value_[index(reg)];
			VREGCACHE_TRY(access.vmwrite(Layout::encoding(reg), value));
			dirty_ = left = left.without_first();
			hooks_.write_back(reg, value);
		} while (!left.empty());
		return {};
	}

	// Each register that is available and not dirty equals its field, those that were written back just now included.
	VREGCACHE_COLD Result<void> write_back_and_verify(Access access)
	{
		if (can_verify(access))
			VREGCACHE_TRY(verify_current(access, FoundAt::kVmEntry));
		VREGCACHE_TRY(store_dirty(access));
		if (can_verify(access)) {
			for (RegSet left = available_; !left.empty(); left -= left.first())
				verify_register(access, FoundAt::kVmEntry, left.first());
		}
		return {};
	}

	VREGCACHE_COLD void verify_hit(Access access, Reg reg)
	{
		if (!dirty_.contains(reg) && can_verify(access) && verify_current(access, FoundAt::kHit).ok())
			verify_register(access, FoundAt::kHit, reg);
	}

	// Cached values are served without the VMCS, too; then there is nothing to compare them with.
	bool can_verify(const Access& access) const { return check_current(access).ok(); }

	// Does the CPU confirm what check_current() believes?  If not, its VMCS is not touched: kNotCurrent.
	VREGCACHE_COLD Result<void> verify_current(const Access& access, FoundAt where)
	{
		if constexpr (Hooks::kMayVerify) {
			VmcsId current = access.really_current(vmcs_);
			if (current != vmcs_) {
				hooks_.wrong_vmcs(where, vmcs_, current);
				return Error::kNotCurrent;
			}
		}
		return {};
	}

	VREGCACHE_COLD void verify_register(const Access& access, FoundAt where, Reg reg)
	{
		if constexpr (Hooks::kMayVerify) {
			if (Layout::not_of_entry_failures().contains(reg) && after_entry_failure(access))
				return;
			Result<u64> field = access.verify_read(Layout::encoding(reg));
			if (!field.ok())
				return;
			hooks_.compared(where);
			if (field.value() != value_[index(reg)])
				hooks_.mismatch(where, reg, value_[index(reg)], field.value());
		}
	}

	// Then vm_entry_failure_exit() has set these registers, and the fields have older values.
	static bool after_entry_failure(const Access& access)
	{
		return Layout::is_entry_failure(access.verify_read(Layout::encoding(Reg::kExitReason)).value_or(0));
	}

	[[gnu::always_inline]] void forget(RegSet set)
	{
		keep(available_ - set);
		hooks_.invalidate(set);
	}

	// Only these stay available.  They may take the fast path throughout, because they are available before and after.
	[[gnu::always_inline]] void keep(RegSet left)
	{
		fast_path_ = hooks_.watches_reads() ? RegSet() : left;
		compiler_barrier();
		available_ = left;
	}

	RegSet fast_path_;
	RegSet available_;
	RegSet dirty_;
	u64 value_[index(Reg::kEnd)] = {};
	VmcsId vmcs_ = VmcsId::kNone;
	[[no_unique_address]] Hooks hooks_;
};

}  // namespace vregcache
