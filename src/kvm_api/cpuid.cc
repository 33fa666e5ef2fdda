// SPDX-License-Identifier: GPL-2.0
// KVM_SET_CPUID2, KVM_GET_CPUID2 and KVM_GET_SUPPORTED_CPUID.
#include "kvm_api/in_window.h"
#include "kvm_api/ioctls.h"
#include "vcpu/cpuid.h"
#include "vcpu/guest_state.h"

namespace {

inline Result<void> replace_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_cpuid_entry2* entries, u32 count)
{
	// The CR4 guest/host mask may change: read CR4 with the old one, and write it with the new one.
	u64 control = VREGCACHE_TRY(guest_cr4(vcpu, vmcs));
	__builtin_memcpy(vcpu.cpuid, entries, count * sizeof(*entries));
	vcpu.cpuid_count = count;
	vcpu.model = model_of_cpuid(vcpu);
	vcpu.due |= Vcpu::kNewCpuid;
	VREGCACHE_TRY(apply_cpu_model(vcpu, vmcs));
	GuestCr4::write(vcpu.cache, vmcs, cr4_share(vcpu), control);
	return {};
}

inline long set_cpuid(Vcpu& vcpu, unsigned long argument)
{
	kvm_cpuid2 header;
	if (int error = copy_from_user(header, argument))
		return error;
	if (header.nent > kCpuidLimit)
		return -E2BIG;
	// Copied before any takes effect: a bad address leaves the old table.
	UserArray<kvm_cpuid_entry2> entries(header.nent);
	if (int error = entries.copy_in(argument + sizeof(header)))
		return error;
	return in_window(vcpu, [&](const LoadedVmcs& vmcs) -> Result<long> {
		VREGCACHE_TRY(replace_cpuid(vcpu, vmcs, entries.data(), header.nent));
		return 0L;
	});
}

// Copies a CPUID table out.  -E2BIG: userspace has room for fewer than @count.  Either way it learns the count.
inline long put_cpuid(unsigned long argument, const kvm_cpuid_entry2* entries, u32 count)
{
	kvm_cpuid2 header;
	if (int error = copy_from_user(header, argument))
		return error;
	bool fits = header.nent >= count;
	header.nent = count;
	if (int error = copy_to_user(argument, header))
		return error;
	if (!fits)
		return -E2BIG;
	return vrc_host_copy_to_user(argument + sizeof(header), entries, count * sizeof(*entries));
}

inline long get_cpuid(Vcpu& vcpu, unsigned long argument)
{
	u64 control = 0;
	const long error = in_window(vcpu, [&](const LoadedVmcs& vmcs) -> Result<long> {
		control = VREGCACHE_TRY((host_owned_cr4<cr4::kOsxsave | cr4::kPke>(vcpu, vmcs)));
		return 0L;
	});
	if (error)
		return error;
	UserArray<kvm_cpuid_entry2> entries(vcpu.cpuid_count);
	if (!entries.data())
		return -ENOMEM;
	for (u32 i = 0; i < vcpu.cpuid_count; i++) {
		kvm_cpuid_entry2& entry = entries.data()[i];
		entry = vcpu.cpuid[i];
		CpuidResult r = registers_of(entry);
		const bool indexed = entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		follow_state(vcpu, control, entry.function, indexed ? entry.index : 0, r);
		entry.eax = r.eax;
		entry.ebx = r.ebx;
		entry.ecx = r.ecx;
		entry.edx = r.edx;
	}
	return put_cpuid(argument, entries.data(), vcpu.cpuid_count);
}

inline long get_supported_cpuid(unsigned long argument)
{
	UserArray<kvm_cpuid_entry2> entries(kCpuidLimit);
	if (!entries.data())
		return -ENOMEM;
	return put_cpuid(argument, entries.data(), supported_cpuid(entries.data(), kCpuidLimit));
}

}  // namespace
