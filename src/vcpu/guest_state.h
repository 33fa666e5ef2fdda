// SPDX-License-Identifier: GPL-2.0
// Registers and modes of the guest that many files need.
#pragma once

#include "vcpu/vcpu.h"
#include "vmx/capability.h"

namespace {

// CR0 and CR4: the bits that VMX requires, less those that unrestricted guest waives (SDM Vol. 3C, 24.8).
// VM-entry does not load CD and NW (SDM Vol. 3C, 27.3.2.1), and Linux runs with both clear.
inline ControlRegisterShare cr0_share()
{
	return {kCr0GuestOwned, g_vmx.cr0_fixed0 & ~(cr0::kPe | cr0::kPg), cr0::kCd | cr0::kNw};
}

inline ControlRegisterShare cr4_share(const Vcpu& vcpu)
{
	// A machine check while CR4.MCE is clear shuts the host down, so the host's setting applies in the guest too.
	return {kCr4GuestOwned & vcpu.model.cr4, g_vmx.cr4_fixed0 | g_vmx.host_cr4_mce};
}

inline Result<u64> guest_cr0(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return GuestCr0::read(vcpu.cache, vmcs, cr0_share());
}

inline Result<u64> guest_cr4(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return GuestCr4::read(vcpu.cache, vmcs, cr4_share(vcpu));
}

// Is the guest in IA-32e mode?  EFER is host-owned, so it stays cached.
inline Result<bool> in_long_mode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return (VREGCACHE_TRY(vcpu.cache.read<Reg::kEfer>(vmcs)) & efer::kLma) != 0;
}

inline Result<bool> in_64bit_mode(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return vregcache::in_64bit_mode(vcpu.cache, vmcs);
}

// The privilege level is SS's DPL (SDM Vol. 3C, 25.4.1).
inline Result<u32> privilege_level(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u64 rights = VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(Segment::kSs, SegmentPart::kAccessRights)));
	return static_cast<u32>(rights & vregcache::access_rights::kDplMask) >> vregcache::access_rights::kDplShift;
}

// A general-purpose register as MOV encodes it, as wide as in the guest's mode.
inline Result<u64> read_gpr(Vcpu& vcpu, const LoadedVmcs& vmcs, Gpr gpr)
{
	return vregcache::read_gpr(vcpu.cache, vmcs, vcpu.gpr(), gpr);
}

inline Result<void> write_gpr(Vcpu& vcpu, const LoadedVmcs& vmcs, Gpr gpr, u64 value)
{
	return vregcache::write_gpr(vcpu.cache, vmcs, vcpu.gpr(), gpr, value);
}

// IA32_DEBUGCTL without the host's bits.
inline Result<u64> guest_debugctl(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return VREGCACHE_TRY(vcpu.cache.read<Reg::kDebugctl>(vmcs)) & ~u64{vcpu.hosts_debugctl};
}

inline void set_guest_debugctl(Vcpu& vcpu, const LoadedVmcs& vmcs, u64 value)
{
	vcpu.cache.write<Reg::kDebugctl>(vmcs, value | vcpu.hosts_debugctl);
}

}  // namespace
