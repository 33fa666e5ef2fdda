// SPDX-License-Identifier: GPL-2.0
// MOV to CR0, CR3 and CR4, XSETBV, and WRMSR of IA32_EFER: the values that a guest may load, and the side effects of a change.
#include "vcpu/control_register.h"

namespace {

inline bool is_valid_cr0(u64 value)
{
	if (value >> 32)
		return false;
	if ((value & cr0::kNw) && !(value & cr0::kCd))
		return false;
	return !(value & cr0::kPg) || (value & cr0::kPe);
}

inline bool is_valid_xcr0(const CpuModel& model, u64 value)
{
	if ((value & ~model.xcr0) || !(value & xcr0::kX87))
		return false;
	if ((value & xcr0::kAvx) && !(value & xcr0::kSse))
		return false;
	u64 avx512 = value & xcr0::kAvx512;
	return !avx512 || (avx512 == xcr0::kAvx512 && (value & xcr0::kAvx));
}

inline DisallowedBits find_disallowed_bits(const CpuModel& model, u64 cr4, u64 efer, u64 xcr0, u64 cr3)
{
	if (cr4 & ~model.cr4)
		return {"CR4", cr4, model.cr4};
	if (efer & ~model.efer)
		return {"IA32_EFER", efer, model.efer};
	if (xcr0 & ~model.xcr0)
		return {"XCR0", xcr0, model.xcr0};
	if (cr3 & ~model.cr3)
		return {"CR3", cr3, model.cr3};
	return {};
}

// reconcile() updates the VM-entry control for it (consistency.h).
inline Result<void> set_long_mode(Vcpu& vcpu, const LoadedVmcs& vmcs, bool on)
{
	u64 value = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
	vcpu.cache.write<Reg::kEfer>(vmcs, on ? value | efer::kLma : value & ~efer::kLma);
	return {};
}

inline Result<bool> load_pdptes(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 cr3)
{
	vregcache::Pdptes pdptes;
	for (u32 i = 0; i < 4; i++) {
		const u8* memory = vcpu.vm->memory.at((cr3 & 0xffffffe0) + u64{8} * i);
		if (!memory)
			return false;
		u64& entry = pdptes.entry[i];
		__builtin_memcpy(&entry, memory, sizeof(entry));
		if ((entry & pdpte::kPresent) && (entry & (pdpte::kReserved | vcpu.model.beyond_physical)))
			return false;
	}
	write_pdptes(vcpu.cache, vmcs, pdptes);
	vcpu.due &= ~Vcpu::kPdptesNotLoaded;
	return true;
}

inline Result<bool> load_pdptes(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 cr3 = VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs));
	return load_pdptes(vcpu, vmcs, cr3);
}

// False: #GP(0).  CS.L must be 0 for a change of IA-32e mode, and TR must have a busy 32-bit TSS to activate it (SDM Vol. 3A,
// 10.8.5 and 4.1.2).
inline Result<bool> may_switch_long_mode(Vcpu& vcpu, const LoadedVmcs& vmcs, bool on)
{
	using namespace vregcache::access_rights;
	constexpr u32 kBusyTss = 11;
	u64 cs = VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(Segment::kCs, SegmentPart::kAccessRights)));
	if (cs & kLong)
		return false;
	if (!on)
		return true;
	u64 tr = VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(Segment::kTr, SegmentPart::kAccessRights)));
	return (tr & kTypeMask) == kBusyTss;
}

inline Result<bool> load_cr0(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	if (!is_valid_cr0(value))
		return false;
	value = (value & cr0::kDefined) | cr0::kEt;
	constexpr u64 kLoadsPdptes = cr0::kPg | cr0::kCd | cr0::kNw;
	u64 changed = (VREGCACHE_TRY(host_owned_cr0<kLoadsPdptes>(vcpu, vmcs)) ^ value) & kLoadsPdptes;
	if (changed) {
		u64 features = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
		u64 control = VREGCACHE_TRY(host_owned_cr4<cr4::kPae>(vcpu, vmcs));
		bool paging = value & cr0::kPg;
		if (features & efer::kLme) {
			if (changed & cr0::kPg) {
				if ((paging && !(control & cr4::kPae)) ||
				    !VREGCACHE_TRY(may_switch_long_mode(vcpu, vmcs, paging)))
					return false;
				VREGCACHE_TRY(set_long_mode(vcpu, vmcs, paging));
			}
		} else if (paging && (control & cr4::kPae) && !VREGCACHE_TRY(load_pdptes(vcpu, vmcs))) {
			return false;
		}
	}
	GuestCr0::write(vcpu.cache, vmcs, cr0_share(), value);
	return true;
}

inline void follow_cr4(Vcpu& vcpu, u64 value)
{
	vcpu.entry_switch.xcr0_in_use = g_vmx.facts.xsave && (value & cr4::kOsxsave);
	// XRSTOR can access PKRU without CR4.PKE.
	vcpu.entry_switch.pkru_in_use = g_vmx.facts.pku &&
					((value & cr4::kPke) ||
					 (vcpu.entry_switch.xcr0_in_use && (vcpu.entry_switch.xcr0 & xcr0::kPkru)));
}

inline Result<void> set_xcr0(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	vcpu.entry_switch.xcr0 = value;
	follow_cr4(vcpu, VREGCACHE_TRY(host_owned_cr4<kCr4Followed>(vcpu, vmcs)));
	return {};
}

inline Result<bool> load_cr4(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	if (value & ~vcpu.model.cr4)
		return false;
	u64 old = VREGCACHE_TRY(guest_cr4(vcpu, vmcs));
	u64 changed = old ^ value;
	if (VREGCACHE_TRY(in_long_mode(vcpu, vmcs))) {
		if (!(value & cr4::kPae) || (changed & cr4::kLa57))
			return false;
	} else if ((value & cr4::kPae) && (changed & (cr4::kPae | cr4::kPse | cr4::kPge | cr4::kSmep)) &&
		   VREGCACHE_TRY(host_owned_cr0<cr0::kPg>(vcpu, vmcs)) && !VREGCACHE_TRY(load_pdptes(vcpu, vmcs))) {
		return false;
	}
	GuestCr4::write(vcpu.cache, vmcs, cr4_share(vcpu), value);
	follow_cr4(vcpu, value);
	return true;
}

inline Result<bool> load_cr3(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	bool long_mode = VREGCACHE_TRY(in_long_mode(vcpu, vmcs));
	if (long_mode && (value & vcpu.model.beyond_physical))
		return false;
	bool pae = !long_mode && VREGCACHE_TRY(host_owned_cr0<cr0::kPg>(vcpu, vmcs)) &&
		   VREGCACHE_TRY(host_owned_cr4<cr4::kPae>(vcpu, vmcs));
	if (pae && !VREGCACHE_TRY(load_pdptes(vcpu, vmcs, value)))
		return false;
	vcpu.cache.write<Reg::kCr3>(vmcs, value);
	return true;
}

inline Result<bool> load_efer(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	u64 old = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
	if (((old ^ value) & efer::kLme) && VREGCACHE_TRY(host_owned_cr0<cr0::kPg>(vcpu, vmcs)))
		return false;
	return set_efer(vcpu, vmcs, value);
}

inline Result<bool> set_efer(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	if (value & ~vcpu.model.efer)
		return false;
	u64 old = VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs));
	// Software cannot write LMA.
	vcpu.cache.write<Reg::kEfer>(vmcs, (value & ~efer::kLma) | (old & efer::kLma));
	return true;
}

}  // namespace
