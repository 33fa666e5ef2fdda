// SPDX-License-Identifier: GPL-2.0
// Accesses a vCPU's VMCS without its register cache's knowledge, and runs the cache's operations one by one, for callers that
// must not use them.  For tests only.
#include "test_hooks/machine_hooks.h"
#include "vcpu/vmcs_window.h"
#include "vmx/interrupts.h"

namespace vregcache {

// Accesses the cache's memory.
struct CacheTestAccess {
	template <class Cache>
	[[gnu::always_inline]] static u64& value(Cache& cache, Reg reg)
	{
		return cache.value_[index(reg)];
	}

	VREGCACHE_INLINE static bool is_clean(RegisterCache& cache, Reg reg)
	{
		return cache.available_.contains(reg) && !cache.dirty_.contains(reg);
	}

	VREGCACHE_INLINE static bool stale(RegisterCache& cache, Reg reg)
	{
		if (cache.available_.contains(reg))
			return false;
		cache.available_ |= reg;
		return true;
	}

	VREGCACHE_INLINE static bool lose(RegisterCache& cache, Reg reg)
	{
		if (!cache.dirty_.contains(reg))
			return false;
		cache.dirty_ -= reg;
		return true;
	}

	VREGCACHE_INLINE static bool swap(RegisterCache& cache, Reg one, Reg other)
	{
		if (!is_clean(cache, one) || !is_clean(cache, other))
			return false;
		u64 value = cache.value_[index(one)];
		cache.value_[index(one)] = cache.value_[index(other)];
		cache.value_[index(other)] = value;
		return true;
	}
};

struct LastWrittenTestAccess {
	// Returns false if the field has no known value that could be changed.
	template <class Field>
	VREGCACHE_INLINE static bool change(Field& field, u64 bits)
	{
		field.value_ ^= static_cast<typename Field::Value>(bits);
		return field.known_;
	}
};

}  // namespace vregcache

namespace {

inline int errno_of(Error error)
{
	switch (error) {
	case Error::kNone:
		return 0;
	case Error::kVmFailValid:
		return -EINVAL;
	case Error::kVmFailInvalid:
		return -ENXIO;
	default:
		return -EIO;
	}
}

}  // namespace

extern "C" int vrc_vcpu_raw_vmread(struct vrc_vcpu* handle, vrc_u32 encoding, vrc_u64* value)
{
	VmcsWindow window(vcpu_of(handle));
	if (!window.is_open())
		return window.error();
	Result<u64> read = vmread(encoding);
	*value = read.value_or(0);
	return errno_of(read.error());
}

extern "C" int vrc_vcpu_raw_vmwrite(struct vrc_vcpu* handle, vrc_u32 encoding, vrc_u64 value)
{
	VmcsWindow window(vcpu_of(handle));
	if (!window.is_open())
		return window.error();
	return errno_of(vmwrite(encoding, value).error());
}

extern "C" int vrc_vcpu_raw_vmclear(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	VmcsWindow window(vcpu);
	if (!window.is_open())
		return window.error();
	return errno_of(vmclear(static_cast<u64>(vcpu.vmcs.id())).error());
}

extern "C" void vrc_vcpu_pmi_compare(struct vrc_vcpu* handle, struct vrc_pmi_comparison* comparison)
{
	Vcpu& vcpu = vcpu_of(handle);
	PmiWindow window(vcpu);
	const PinnedVmcs& vmcs = window.vmcs();
	*comparison = {};
	for (vregcache::RegSet rest = vregcache::RegSet::all(); !rest.empty(); rest -= rest.first()) {
		Reg reg = rest.first();
		Result<u64> cached = vcpu.cache.read(vmcs, reg);
		Result<u64> raw = vmread(vregcache::VmxLayout::encoding(reg));
		comparison->registers++;
		if (cached.ok() && raw.ok() && cached.value() == raw.value())
			continue;
		if (!comparison->differences++) {
			comparison->first = index(reg);
			comparison->in_memory = cached.value_or(0);
			comparison->in_vmcs = raw.value_or(0);
		}
	}
	comparison->rip = vcpu.cache.peek(Reg::kRip);
	comparison->rflags = vcpu.cache.peek(Reg::kRflags);
	comparison->rsp = vcpu.cache.peek(Reg::kRsp);
	for (u32 number = 0; number < 16; number++)
		comparison->gpr[number] = vcpu.gpr()[static_cast<Gpr>(number)];
}

extern "C" int vrc_vcpu_with_vmcs(struct vrc_vcpu* handle, void (*function)(void*), void* argument)
{
	VmcsWindow window(vcpu_of(handle));
	if (!window.is_open())
		return window.error();
	function(argument);
	return 0;
}

namespace {

// Makes tokens whose conditions do not hold, as the tests of the context rule need.
class UncheckedTokens {
 public:
	static LoadedVmcs loaded(Vcpu& vcpu) { return LoadedVmcs(vcpu.access(), VmcsKey()); }
	static PinnedVmcs pinned(Vcpu& vcpu) { return PinnedVmcs(vcpu.access(), VmcsKey()); }
};

}  // namespace

namespace {

// Makes the vCPU's VMCS current in any context, if it is not; unless it is active on another CPU.
class ForcedWindow {
 public:
	explicit ForcedWindow(Vcpu& vcpu) : vcpu_(vcpu)
	{
		if (!vcpu.access().is_current(vcpu.vmcs.id()) && !vcpu.vmcs.is_elsewhere())
			opened_ = vcpu.vmcs.begin(true).ok();
	}
	~ForcedWindow()
	{
		if (opened_)
			vcpu_.vmcs.end();
	}
	ForcedWindow(const ForcedWindow&) = delete;
	ForcedWindow& operator=(const ForcedWindow&) = delete;

 private:
	InterruptsOff interrupts_off_;
	Vcpu& vcpu_;
	bool opened_ = false;
};

}  // namespace

extern "C" void vrc_vcpu_use_cache(struct vrc_vcpu* handle, struct vrc_cache_use* use)
{
	Vcpu& vcpu = vcpu_of(handle);
	ForcedWindow window(vcpu);
	RegisterCache& cache = vcpu.cache;
	const LoadedVmcs loaded = UncheckedTokens::loaded(vcpu);
	const PinnedVmcs pinned = UncheckedTokens::pinned(vcpu);
	Reg reg = static_cast<Reg>(use->reg);
	auto store = [use](auto result) {
		use->error = errno_of(result.error());
		if (result.ok())
			use->value = result.value();
	};

	use->error = -EINVAL;
	switch (use->operation) {
	case VRC_CACHE_READ:
		return store(cache.read(loaded, reg));
	case VRC_CACHE_READ_TYPED:
		return store(cache.read<Reg::kRip>(loaded));
	case VRC_CACHE_READ_ALL: {
		u64 rip = 0, flags = 0;
		use->error = errno_of(cache.read_all<Reg::kRip, Reg::kRflags>(loaded, rip, flags).error());
		use->value = rip;
		return;
	}
	case VRC_CACHE_WRITE:
		use->error = errno_of(cache.write(loaded, reg, use->value).error());
		return;
	case VRC_CACHE_WRITE_TYPED:
		cache.write<Reg::kRip>(loaded, u64{use->value});
		break;
	case VRC_CACHE_WRITE_BACK:
		use->error = errno_of(cache.write_back(pinned).error());
		return;
	case VRC_CACHE_VM_EXIT:
		use->error = errno_of(cache.vm_exit(pinned).error());
		return;
	case VRC_CACHE_VM_FAIL:
		cache.vm_fail(pinned);
		break;
	case VRC_CACHE_VM_ENTRY_FAILURE_EXIT:
		cache.vm_entry_failure_exit(pinned);
		break;
	case VRC_CACHE_MARK_FOR_RELOAD:
		if (use->reg >= index(Reg::kEnd))
			return;
		cache.mark_for_reload(loaded, vregcache::RegSet(reg) - cache.dirty());
		break;
	case VRC_CACHE_BIND:
		use->error = errno_of(cache.bind(loaded, cache.vmcs()).error());
		return;
	case VRC_CACHE_WATCHING_CHANGED:
		cache.watching_changed(loaded);
		break;
	default:
		return;
	}
	use->error = 0;
}

extern "C" void vrc_vcpu_raw_register(struct vrc_vcpu* handle, vrc_u32 number, struct vrc_raw_register* state)
{
	RegisterCache& cache = vcpu_of(handle).cache;
	Reg reg = static_cast<Reg>(number);
	*state = {};
	if (!is_register(reg))
		return;
	const vregcache::RegSet available = cache.available(), dirty = cache.dirty(), fast_path = cache.fast_path();
	*state = {.value = vregcache::CacheTestAccess::value(cache, reg),
		  .available = available.contains(reg),
		  .dirty = dirty.contains(reg),
		  .fast_path = fast_path.contains(reg),
		  .possible = available.contains(dirty) && available.contains(fast_path)};
}

extern "C" int vrc_vcpu_plant(struct vrc_vcpu* handle, enum vrc_plant fault, vrc_u32 number, vrc_u64 value)
{
	using vregcache::CacheTestAccess;
	Vcpu& vcpu = vcpu_of(handle);
	Reg reg = static_cast<Reg>(number), other = static_cast<Reg>(value);
	bool planted = false;
	if (fault != VRC_PLANT_LAST_WRITTEN &&
	    (number >= index(Reg::kEnd) || (fault == VRC_PLANT_SWAP && value >= index(Reg::kEnd))))
		return -EINVAL;
	switch (fault) {
	case VRC_PLANT_STALE:
		planted = CacheTestAccess::stale(vcpu.cache, reg);
		break;
	case VRC_PLANT_LOSE:
		planted = CacheTestAccess::lose(vcpu.cache, reg);
		break;
	case VRC_PLANT_SWAP:
		planted = CacheTestAccess::swap(vcpu.cache, reg, other);
		break;
	case VRC_PLANT_LAST_WRITTEN:
		auto change = [&]<class Field>(const Field& field) {
			if (Field::kEncoding == number)
				planted = vregcache::LastWrittenTestAccess::change(const_cast<Field&>(field), value);
		};
		for_each_last_written(vcpu.controls, change);
		for_each_last_written(vcpu.msr_fields, change);
		for_each_last_written(vcpu.host_fields, change);
		break;
	}
	return planted ? 0 : -EINVAL;
}

extern "C" int vrc_vcpu_raw_vmptrld(struct vrc_vcpu* handle, struct vrc_vcpu* other)
{
	VmcsWindow window(vcpu_of(handle));
	if (!window.is_open())
		return window.error();
	return errno_of(vmptrld(static_cast<u64>(vcpu_of(other).vmcs.id())).error());
}
