// SPDX-License-Identifier: GPL-2.0
// Values of KVM_SET_REGS and KVM_SET_SREGS that this guest's CPU cannot hold.
#include "kvm_api/register_checks.h"
#include "vcpu/control_register.h"
#include "vcpu/msr.h"
#include "vmx/explain/entry_failure.h"

namespace {

// The fields as VM-entry would find them if they were set.
class FieldsToSet {
 public:
	FieldsToSet(const kvm_sregs& sregs, const SegmentsToSet& segments, u64 rflags)
	    : sregs_(sregs), segments_(segments), rflags_(rflags)
	{}

	Result<u64> vmread(u32 encoding) const
	{
		for (u8 s = 0; s < vregcache::kSegmentCount; s++) {
			const SegmentFields fields(static_cast<Segment>(s));
			const SegmentState& state = segments_.segment[s];
			if (encoding == fields.selector.encoding)
				return u64{state.selector};
			if (encoding == fields.base.encoding)
				return u64{state.base};
			if (encoding == fields.limit.encoding)
				return u64{state.limit};
			if (encoding == fields.access_rights.encoding)
				return u64{state.access_rights};
		}
		switch (encoding) {
		case AnyField(vregcache::kGuestGdtrBase).encoding:
			return u64{sregs_.gdt.base};
		case AnyField(vregcache::kGuestGdtrLimit).encoding:
			return u64{sregs_.gdt.limit};
		case AnyField(vregcache::kGuestIdtrBase).encoding:
			return u64{sregs_.idt.base};
		case AnyField(vregcache::kGuestIdtrLimit).encoding:
			return u64{sregs_.idt.limit};
		case AnyField(vregcache::kGuestCr0).encoding:
			return u64{sregs_.cr0};
		case AnyField(vregcache::kGuestRflags).encoding:
			return rflags_;
		case AnyField(vregcache::kVmEntryControls).encoding:
			return sregs_.efer & efer::kLma ? u64{entry_control::kIa32eMode} : u64{0};
		case AnyField(vregcache::kPrimaryProcessorBasedControls).encoding:
			return u64{g_vmx.controls.primary};
		case AnyField(vregcache::kSecondaryProcessorBasedControls).encoding:
			return u64{g_vmx.controls.secondary};
		default:
			return Error::kNoRegister;
		}
	}

 private:
	const kvm_sregs& sregs_;
	const SegmentsToSet& segments_;
	u64 rflags_;
};

inline EntryFinding find_in_segments(const kvm_sregs& sregs, const SegmentsToSet& segments, u64 rflags)
{
	EntryFacts facts;
	// The CPU's, not those of the guest's CPUID: LGDT and WRFSBASE accept what the CPU accepts, without an exit.
	facts.physical_bits = g_vmx.physical_bits;
	facts.linear_bits = g_vmx.linear_bits;
	return find_invalid_segment(FieldsToSet(sregs, segments, rflags), facts);
}

inline bool can_hold_segments(const Vcpu& vcpu, const kvm_sregs& sregs, const SegmentsToSet& segments)
{
	const EntryFinding finding = find_in_segments(sregs, segments, rflags::kFixed);
	if (!finding.found())
		return true;
	if ((sregs.cr0 & cr0::kPe) && !(sregs.efer & efer::kLma) &&
	    !find_in_segments(sregs, segments, rflags::kFixed | rflags::kVm).found())
		return true;
	log_finding(vcpu.id, "KVM_SET_SREGS refused", finding);
	return false;
}

inline bool can_hold(const Vcpu& vcpu, const kvm_regs& regs)
{
	const long long above = static_cast<long long>(regs.rip) >> vcpu.model.linear_bits;
	if (regs.rflags & rflags::kReserved) {
		vrc_host_error("vCPU %u: KVM_SET_REGS refused; SDM Vol. 3C, 27.3.1.4: RFLAGS is %#llx, reserved bits "
			       "must be 0 (mask %#llx)",
			       vcpu.id, u64{regs.rflags}, rflags::kReserved);
		return false;
	}
	if (above != 0 && above != -1) {
		vrc_host_error("vCPU %u: KVM_SET_REGS refused; SDM Vol. 3C, 27.3.1.4: RIP is %#llx, bits 63:%u must be "
			       "identical",
			       vcpu.id, u64{regs.rip}, vcpu.model.linear_bits);
		return false;
	}
	return true;
}

inline bool can_hold(const Vcpu& vcpu, const kvm_sregs& sregs)
{
	if (!is_valid_cr0(sregs.cr0)) {
		vrc_host_error(
			"vCPU %u: KVM_SET_SREGS refused: CR0 is %#llx: it has bits 63:32 set, NW without CD, or PG "
			"without PE",
			vcpu.id, u64{sregs.cr0});
		return false;
	}
	// KVM_SET_SREGS does not set XCR0.
	DisallowedBits found = find_disallowed_bits(vcpu.model, sregs.cr4, sregs.efer, 0, sregs.cr3);
	if (!found.name && sregs.cr8 > 15)
		found = {"CR8", sregs.cr8, 15};
	if (!found.name && (sregs.apic_base & ~allowed_apic_base(vcpu.model)))
		found = {"IA32_APIC_BASE", sregs.apic_base, allowed_apic_base(vcpu.model)};
	if (!found.name)
		return true;
	vrc_host_error("vCPU %u: KVM_SET_SREGS refused: %s is %#llx, but this guest's CPU allows only %#llx", vcpu.id,
		       found.name, found.value, found.allowed);
	return false;
}

inline const char* reason_to_refuse(const kvm_sregs& sregs)
{
	bool one = false;
	for (u64 word : sregs.interrupt_bitmap) {
		if ((word & (word - 1)) || (word && one))
			return "interrupt_bitmap has more than one bit set";
		one = one || word;
	}
	const bool long_mode = (sregs.efer & efer::kLme) && (sregs.cr0 & cr0::kPg);
	if (long_mode != ((sregs.efer & efer::kLma) != 0))
		return "EFER.LMA must be 1 if EFER.LME and CR0.PG are 1, and 0 otherwise";
	if (long_mode && !(sregs.cr4 & cr4::kPae))
		return "EFER.LMA is 1 and CR4.PAE is 0";
	if (sregs.cs.l && (!long_mode || sregs.cs.db))
		return "CS.L is 1, but EFER.LMA is 0 or CS.D is 1";
	return nullptr;
}

}  // namespace
