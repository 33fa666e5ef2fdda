// SPDX-License-Identifier: GPL-2.0
// KVM_GET_MSRS, KVM_SET_MSRS and KVM_GET_MSR_INDEX_LIST.
#include "kvm_api/in_window.h"
#include "kvm_api/ioctls.h"
#include "vcpu/msr.h"

namespace {

inline Result<long> transfer_msrs(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_msr_entry* entries, u32 count, bool set)
{
	for (u32 i = 0; i < count; i++) {
		kvm_msr_entry& entry = entries[i];
		if (set) {
			if (!VREGCACHE_TRY(write_msr(vcpu, vmcs, MsrUser::kUserspace, entry.index, entry.data)))
				return long{i};
			continue;
		}
		MsrValue read = VREGCACHE_TRY(read_msr(vcpu, vmcs, MsrUser::kUserspace, entry.index));
		if (!read.known)
			return long{i};
		entry.data = read.value;
	}
	return long{count};
}

inline long transfer_msrs(Vcpu& vcpu, unsigned long argument, bool set)
{
	constexpr u32 kLimit = 256;
	kvm_msrs header;
	if (int error = copy_from_user(header, argument))
		return error;
	if (header.nmsrs > kLimit)
		return -E2BIG;
	// Copied before any is set: a bad address changes nothing.
	const unsigned long place = argument + sizeof(header);
	UserArray<kvm_msr_entry> entries(header.nmsrs);
	if (int error = entries.copy_in(place))
		return error;
	const long done = in_window(vcpu, [&](const LoadedVmcs& vmcs) {
		return transfer_msrs(vcpu, vmcs, entries.data(), header.nmsrs, set);
	});
	if (set || done < 0)
		return done;
	int error = entries.copy_out(place, static_cast<u32>(done));
	return error ? error : done;
}

inline long get_msrs(Vcpu& vcpu, unsigned long argument) { return transfer_msrs(vcpu, argument, false); }

inline long set_msrs(Vcpu& vcpu, unsigned long argument) { return transfer_msrs(vcpu, argument, true); }

inline long get_msr_index_list(unsigned long argument)
{
	constexpr u32 kCount = sizeof(kMsrIndexList) / sizeof(kMsrIndexList[0]);
	kvm_msr_list list;
	if (int error = copy_from_user(list, argument))
		return error;
	bool fits = list.nmsrs >= kCount;
	list.nmsrs = kCount;
	if (int error = copy_to_user(argument, list))
		return error;
	return fits ? vrc_host_copy_to_user(argument + sizeof(list), kMsrIndexList, sizeof(kMsrIndexList)) : -E2BIG;
}

}  // namespace
