// SPDX-License-Identifier: GPL-2.0
// KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS and KVM_SET_SREGS.
#include "kvm_api/ioctls.h"
#include "kvm_api/register_checks.h"
#include "vcpu/control_register.h"
#include "vcpu/exits/port_io.h"
#include "vcpu/injection.h"

namespace {

inline Result<void> get_regs(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_regs& regs)
{
	const auto& gpr = vcpu.gpr();
	regs.rax = gpr[Gpr::kRax];
	regs.rbx = gpr[Gpr::kRbx];
	regs.rcx = gpr[Gpr::kRcx];
	regs.rdx = gpr[Gpr::kRdx];
	regs.rsi = gpr[Gpr::kRsi];
	regs.rdi = gpr[Gpr::kRdi];
	regs.rbp = gpr[Gpr::kRbp];
	regs.r8 = gpr[Gpr::kR8];
	regs.r9 = gpr[Gpr::kR9];
	regs.r10 = gpr[Gpr::kR10];
	regs.r11 = gpr[Gpr::kR11];
	regs.r12 = gpr[Gpr::kR12];
	regs.r13 = gpr[Gpr::kR13];
	regs.r14 = gpr[Gpr::kR14];
	regs.r15 = gpr[Gpr::kR15];
	regs.rsp = VREGCACHE_TRY(vcpu.cache.read<Reg::kRsp>(vmcs));
	regs.rip = VREGCACHE_TRY(vcpu.cache.read<Reg::kRip>(vmcs));
	regs.rflags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	return {};
}

inline Result<long> set_regs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_regs& regs)
{
	if (!can_hold(vcpu, regs))
		return long{-EINVAL};
	auto& gpr = vcpu.gpr();
	gpr[Gpr::kRax] = regs.rax;
	gpr[Gpr::kRbx] = regs.rbx;
	gpr[Gpr::kRcx] = regs.rcx;
	gpr[Gpr::kRdx] = regs.rdx;
	gpr[Gpr::kRsi] = regs.rsi;
	gpr[Gpr::kRdi] = regs.rdi;
	gpr[Gpr::kRbp] = regs.rbp;
	gpr[Gpr::kR8] = regs.r8;
	gpr[Gpr::kR9] = regs.r9;
	gpr[Gpr::kR10] = regs.r10;
	gpr[Gpr::kR11] = regs.r11;
	gpr[Gpr::kR12] = regs.r12;
	gpr[Gpr::kR13] = regs.r13;
	gpr[Gpr::kR14] = regs.r14;
	gpr[Gpr::kR15] = regs.r15;
	vcpu.cache.write<Reg::kRsp>(vmcs, u64{regs.rsp});
	vcpu.cache.write<Reg::kRip>(vmcs, u64{regs.rip});
	vcpu.cache.write<Reg::kRflags>(vmcs, u64{regs.rflags} | rflags::kFixed);
	// An exception that the module has raised belonged to the old state.
	if (vcpu.injected.raised)
		vcpu.injected = {};
	return 0L;
}

inline kvm_segment to_kvm(const SegmentState& state)
{
	using namespace vregcache::access_rights;
	kvm_segment segment = {};
	u32 rights = state.access_rights;
	segment.base = state.base;
	segment.limit = state.limit;
	segment.selector = state.selector;
	segment.type = rights & kTypeMask;
	segment.s = (rights & kCodeOrData) != 0;
	segment.dpl = (rights & kDplMask) >> kDplShift;
	segment.unusable = (rights & kUnusable) != 0;
	segment.present = !segment.unusable;
	segment.avl = (rights & kAvailable) != 0;
	segment.l = (rights & kLong) != 0;
	segment.db = (rights & kDefaultBig) != 0;
	segment.g = (rights & kGranularity) != 0;
	return segment;
}

inline SegmentState from_kvm(const kvm_segment& segment)
{
	using namespace vregcache::access_rights;
	SegmentState state;
	state.base = segment.base;
	state.limit = segment.limit;
	state.selector = segment.selector;
	auto flag = [](u32 value, u32 bit) { return value & 1 ? bit : 0; };
	state.access_rights = (segment.type & kTypeMask) | flag(segment.s, kCodeOrData) |
			      (segment.dpl & 3u) << kDplShift | flag(segment.present, kPresent) |
			      flag(segment.avl, kAvailable) | flag(segment.l, kLong) | flag(segment.db, kDefaultBig) |
			      flag(segment.g, kGranularity);
	if (segment.unusable || !segment.present)
		state.access_rights |= kUnusable;
	else if (segment.s)
		state.access_rights |= 1;  // VM-entry requires accessed descriptors (SDM Vol. 3C, 27.3.1.2)
	return state;
}

// Like from_kvm(), but bits that KVM's structure lacks stay as they are if the others do and the access rights are cached: an
// unusable segment may have any, and KVM_SET_SREGS of what KVM_GET_SREGS returned must be a no-op.
inline Result<SegmentState> from_kvm(Vcpu& vcpu, const LoadedVmcs& vmcs, Segment segment, const kvm_segment& kvm)
{
	SegmentState state = from_kvm(kvm);
	const Reg rights = segment_register(segment, SegmentPart::kAccessRights);
	if (!vcpu.cache.is_available(rights))
		return state;
	SegmentState now = state;
	now.access_rights = static_cast<u32>(VREGCACHE_TRY(vcpu.cache.read(vmcs, rights)));
	return from_kvm(to_kvm(now)) == state ? now : state;
}

inline bool has_pae_paging(const kvm_sregs& sregs)
{
	return (sregs.cr0 & cr0::kPg) && (sregs.cr4 & cr4::kPae) && !(sregs.efer & efer::kLma);
}

struct NamedSegment {
	Segment segment;
	kvm_segment kvm_sregs::*member;
};

constexpr NamedSegment kSregsSegments[] = {
	{Segment::kEs, &kvm_sregs::es},    {Segment::kCs, &kvm_sregs::cs}, {Segment::kSs, &kvm_sregs::ss},
	{Segment::kDs, &kvm_sregs::ds},    {Segment::kFs, &kvm_sregs::fs}, {Segment::kGs, &kvm_sregs::gs},
	{Segment::kLdtr, &kvm_sregs::ldt}, {Segment::kTr, &kvm_sregs::tr},
};

inline Result<void> get_sregs(Vcpu& vcpu, const LoadedVmcs& vmcs, kvm_sregs& sregs)
{
	auto& cache = vcpu.cache;
	for (const NamedSegment& named : kSregsSegments)
		sregs.*named.member = to_kvm(VREGCACHE_TRY(read_segment(cache, vmcs, named.segment)));
	sregs.gdt.base = VREGCACHE_TRY(cache.read<Reg::kGdtrBase>(vmcs));
	sregs.gdt.limit = static_cast<u16>(VREGCACHE_TRY(cache.read<Reg::kGdtrLimit>(vmcs)));
	sregs.idt.base = VREGCACHE_TRY(cache.read<Reg::kIdtrBase>(vmcs));
	sregs.idt.limit = static_cast<u16>(VREGCACHE_TRY(cache.read<Reg::kIdtrLimit>(vmcs)));
	sregs.cr0 = VREGCACHE_TRY(guest_cr0(vcpu, vmcs));
	sregs.cr2 = vcpu.entry_switch.cr2;
	sregs.cr3 = VREGCACHE_TRY(cache.read<Reg::kCr3>(vmcs));
	sregs.cr4 = VREGCACHE_TRY(guest_cr4(vcpu, vmcs));
	sregs.cr8 = vcpu.cr8;
	sregs.efer = VREGCACHE_TRY(cache.read<Reg::kEfer>(vmcs));
	sregs.apic_base = vcpu.apic_base;
	// Not reported, but KVM_SET_SREGS reloads them from memory, and can then detect a change.
	if (has_pae_paging(sregs)) {
		u64 entry;
		VREGCACHE_TRY((cache.read_all<Reg::kPdpte0, Reg::kPdpte1, Reg::kPdpte2, Reg::kPdpte3>(
			vmcs, entry, entry, entry, entry)));
	}
	if (PendingInterrupt interrupt = pending_interrupt(vcpu); interrupt.valid)
		sregs.interrupt_bitmap[interrupt.vector / 64] = u64{1} << interrupt.vector % 64;
	return {};
}

// Loads the PDPTEs for this KVM_SET_SREGS.  If it changes nothing that loads them, and memory no longer has valid ones, the
// CPU keeps those that it has.
inline Result<void> load_pdptes_of(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_sregs& sregs)
{
	if (!has_pae_paging(sregs)) {
		vcpu.due &= ~Vcpu::kPdptesNotLoaded;
		return {};
	}
	if (VREGCACHE_TRY(load_pdptes(vcpu, vmcs, sregs.cr3)))
		return {};
	const bool unchanged = VREGCACHE_TRY(host_owned_cr0<cr0::kPg>(vcpu, vmcs)) &&
			       VREGCACHE_TRY(host_owned_cr4<cr4::kPae>(vcpu, vmcs)) &&
			       !VREGCACHE_TRY(in_long_mode(vcpu, vmcs)) &&
			       VREGCACHE_TRY(vcpu.cache.read<Reg::kCr3>(vmcs)) == sregs.cr3;
	// The slot that has them may be created later.
	if (!unchanged)
		vcpu.due |= Vcpu::kPdptesNotLoaded;
	return {};
}

inline Result<long> set_sregs(Vcpu& vcpu, const LoadedVmcs& vmcs, const kvm_sregs& sregs)
{
	SegmentsToSet segments;
	for (const NamedSegment& named : kSregsSegments)
		segments[named.segment] = VREGCACHE_TRY(from_kvm(vcpu, vmcs, named.segment, sregs.*named.member));
	if (!can_hold(vcpu, sregs))
		return long{-EINVAL};
	if (const char* why = reason_to_refuse(sregs))
		return long{refuse(vcpu, "KVM_SET_SREGS", why)};
	if (!can_hold_segments(vcpu, sregs, segments))
		return long{-EINVAL};
	VREGCACHE_TRY(remember_linear_rip(vcpu, vmcs));
	VREGCACHE_TRY(load_pdptes_of(vcpu, vmcs, sregs));
	auto& cache = vcpu.cache;
	for (const NamedSegment& named : kSregsSegments)
		VREGCACHE_TRY(write_segment(cache, vmcs, named.segment, segments[named.segment]));
	cache.write<Reg::kGdtrBase>(vmcs, u64{sregs.gdt.base});
	cache.write<Reg::kGdtrLimit>(vmcs, u32{sregs.gdt.limit});
	cache.write<Reg::kIdtrBase>(vmcs, u64{sregs.idt.base});
	cache.write<Reg::kIdtrLimit>(vmcs, u32{sregs.idt.limit});
	GuestCr0::write(cache, vmcs, cr0_share(), (u64{sregs.cr0} & cr0::kDefined) | cr0::kEt);
	cache.write<Reg::kCr3>(vmcs, u64{sregs.cr3});
	GuestCr4::write(cache, vmcs, cr4_share(vcpu), u64{sregs.cr4});
	cache.write<Reg::kEfer>(vmcs, u64{sregs.efer});
	follow_cr4(vcpu, sregs.cr4);
	vcpu.entry_switch.cr2 = sregs.cr2;
	vcpu.cr8 = sregs.cr8;
	vcpu.apic_base = sregs.apic_base;
	// As in KVM, KVM_SET_SREGS without an interrupt leaves the pending one.
	for (u32 word = 0; word < 4; word++) {
		if (sregs.interrupt_bitmap[word])
			set_pending_interrupt(vcpu, static_cast<u8>(word * 64 +
								    __builtin_ctzll(sregs.interrupt_bitmap[word])));
	}
	return 0L;
}

}  // namespace
