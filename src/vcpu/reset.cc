// SPDX-License-Identifier: GPL-2.0
// The state of a vCPU after RESET.
#include "vcpu/debug_register.h"
#include "vcpu/guest_state.h"
#include "vcpu/reset.h"

namespace {

inline SegmentState reset_segment(u16 selector, u64 base, u32 rights)
{
	SegmentState state;
	state.selector = selector;
	state.base = base;
	state.limit = 0xffff;
	state.access_rights = rights;
	return state;
}

inline Result<void> reset_registers(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	constexpr u32 kData = 0x93, kCode = 0x9b, kLdt = 0x82, kBusyTss = 0x8b;
	auto& cache = vcpu.cache;
	for (u8 s = 0; s <= static_cast<u8>(Segment::kGs); s++)
		VREGCACHE_TRY(write_segment(cache, vmcs, static_cast<Segment>(s), reset_segment(0, 0, kData)));
	VREGCACHE_TRY(write_segment(cache, vmcs, Segment::kCs, reset_segment(0xf000, 0xffff0000, kCode)));
	VREGCACHE_TRY(write_segment(cache, vmcs, Segment::kLdtr, reset_segment(0, 0, kLdt)));
	VREGCACHE_TRY(write_segment(cache, vmcs, Segment::kTr, reset_segment(0, 0, kBusyTss)));
	cache.write<Reg::kGdtrBase>(vmcs, u64{0});
	cache.write<Reg::kGdtrLimit>(vmcs, u32{0xffff});
	cache.write<Reg::kIdtrBase>(vmcs, u64{0});
	cache.write<Reg::kIdtrLimit>(vmcs, u32{0xffff});
	cache.write<Reg::kRip>(vmcs, u64{0xfff0});
	cache.write<Reg::kRsp>(vmcs, u64{0});
	cache.write<Reg::kRflags>(vmcs, u64{rflags::kFixed});
	cache.write<Reg::kInterruptibility>(vmcs, u32{0});
	cache.write<Reg::kPendingDebugExceptions>(vmcs, u64{0});
	cache.write<Reg::kActivityState>(vmcs, u32{0});
	GuestCr0::write(cache, vmcs, cr0_share(), cr0::kCd | cr0::kNw | cr0::kEt);
	cache.write<Reg::kCr3>(vmcs, u64{0});
	GuestCr4::write(cache, vmcs, cr4_share(vcpu), 0);
	cache.write<Reg::kEfer>(vmcs, u64{0});
	set_dr7(vcpu, vmcs, 0);
	vcpu.entry_switch.dr6 = dr6_from(0);
	set_guest_debugctl(vcpu, vmcs, 0);
	write_pdptes(cache, vmcs, {});

	constexpr u64 kPatAfterReset = 0x0007040600070406;
	VREGCACHE_TRY(vcpu.msr_fields.pat.set(vmcs, u64{kPatAfterReset}));
	VREGCACHE_TRY(vcpu.msr_fields.sysenter_cs.set(vmcs, u32{0}));
	VREGCACHE_TRY(vcpu.msr_fields.sysenter_esp.set(vmcs, u64{0}));
	VREGCACHE_TRY(vcpu.msr_fields.sysenter_eip.set(vmcs, u64{0}));
	vcpu.apic_base = apic_base::kDefaultAddress | apic_base::kEnabled |
			 (vcpu.id == 0 ? apic_base::kBootstrapProcessor : 0);
	constexpr u64 kFamilyAfterReset = 0x600;
	vcpu.gpr()[Gpr::kRdx] = kFamilyAfterReset;
	return {};
}

}  // namespace
