// SPDX-License-Identifier: GPL-2.0 OR MIT
// The functions of c_interface.h.
#include "c_interface.h"

#include "cache.h"

namespace {

using vregcache::Error;
using vregcache::Reg;
using vregcache::Result;
using vregcache::u32;
using vregcache::u64;
using vregcache::VmcsId;

vregcache_error c_error(Error error) { return static_cast<vregcache_error>(error); }
static_assert(static_cast<int>(Error::kNoRegister) == VREGCACHE_NO_REGISTER);

class CAccess {
 public:
	struct Key {};

	explicit CAccess(const vregcache_access& functions) : functions_(&functions) {}

	Result<u64> vmread(u32 encoding) const
	{
		unsigned long long value = 0;
		vregcache_error error = functions_->vmread(functions_->owner, encoding, &value);
		if (error != VREGCACHE_OK)
			return static_cast<Error>(error);
		return u64{value};
	}
	Result<void> vmwrite(u32 encoding, u64 value) const
	{
		return static_cast<Error>(functions_->vmwrite(functions_->owner, encoding, value));
	}
	bool is_current(VmcsId vmcs) const
	{
		return functions_->is_current(functions_->owner, static_cast<u64>(vmcs)) != 0;
	}

 private:
	const vregcache_access* functions_;
};

struct CHooks : vregcache::NoHooks {
	const vregcache_access* functions = nullptr;

	void miss(Reg reg, u64 value)
	{
		if (functions->miss)
			functions->miss(functions->owner, index(reg), value);
	}
	void write_back(Reg reg, u64 value)
	{
		if (functions->written_back)
			functions->written_back(functions->owner, index(reg), value);
	}
};

struct CCache {
	vregcache_access functions;
	vregcache::Cache<CAccess, CHooks> cache;

	// C has no tokens: the caller promises what c_interface.h says.
	vregcache::PinnedVmcs<CAccess> vmcs() const { return {CAccess(functions), CAccess::Key()}; }
};

}  // namespace

// The C side knows it by an opaque name.
static CCache& cxx(struct vregcache_cache* cache) { return *reinterpret_cast<CCache*>(cache); }
static const CCache& cxx(const struct vregcache_cache* cache) { return *reinterpret_cast<const CCache*>(cache); }

unsigned long vregcache_size(void) { return sizeof(CCache); }

void vregcache_init(struct vregcache_cache* memory, const struct vregcache_access* access)
{
	CCache& cache = cxx(memory);
	cache = CCache{*access, {}};
	cache.cache.hooks().functions = &cache.functions;
}

vregcache_error vregcache_bind(struct vregcache_cache* cache, unsigned long long vmcs)
{
	return c_error(cxx(cache).cache.bind(cxx(cache).vmcs(), VmcsId{vmcs}).error());
}

vregcache_error vregcache_read(struct vregcache_cache* cache, unsigned int reg, unsigned long long* value)
{
	if (reg >= VREGCACHE_REGISTER_END)
		return VREGCACHE_NO_REGISTER;
	Result<u64> read = cxx(cache).cache.read(cxx(cache).vmcs(), static_cast<Reg>(reg));
	if (read.ok())
		*value = read.value();
	return c_error(read.error());
}

vregcache_error vregcache_write(struct vregcache_cache* cache, unsigned int reg, unsigned long long value)
{
	if (reg >= VREGCACHE_REGISTER_END)
		return VREGCACHE_NO_REGISTER;
	return c_error(cxx(cache).cache.write(cxx(cache).vmcs(), static_cast<Reg>(reg), value).error());
}

vregcache_error vregcache_write_back(struct vregcache_cache* cache)
{
	return c_error(cxx(cache).cache.write_back(cxx(cache).vmcs()).error());
}

vregcache_error vregcache_vm_exit(struct vregcache_cache* cache)
{
	return c_error(cxx(cache).cache.vm_exit(cxx(cache).vmcs()).error());
}

void vregcache_vm_fail(struct vregcache_cache* cache) { cxx(cache).cache.vm_fail(cxx(cache).vmcs()); }

void vregcache_vm_entry_failure_exit(struct vregcache_cache* cache)
{
	cxx(cache).cache.vm_entry_failure_exit(cxx(cache).vmcs());
}

int vregcache_is_available(const struct vregcache_cache* cache, unsigned int reg)
{
	return reg < VREGCACHE_REGISTER_END && cxx(cache).cache.is_available(static_cast<Reg>(reg));
}

int vregcache_is_dirty(const struct vregcache_cache* cache, unsigned int reg)
{
	return reg < VREGCACHE_REGISTER_END && cxx(cache).cache.is_dirty(static_cast<Reg>(reg));
}
