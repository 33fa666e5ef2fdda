// SPDX-License-Identifier: GPL-2.0
// The checks of the guest's state (SDM Vol. 3C, 27.3.1), in the SDM's order.
#include <initializer_list>

#include "vmx/explain/entry_check_rules.h"

namespace {

// Why VM-entry failed on the guest's state, if the exit qualification reports it (SDM Vol. 3C, 27.8).
enum class GuestStateQualification : u64 { kOther = 0, kPdptes = 2, kNmi = 3, kLinkPointer = 4 };

template <class Reader>
class GuestChecks : public EntryRules<Reader> {
 public:
	VRC_ENTRY_RULES(Reader);

	bool find(u64 qualification)
	{
		switch (static_cast<GuestStateQualification>(qualification)) {
		case GuestStateQualification::kPdptes:
			return pdptes();
		case GuestStateQualification::kNmi:
			return blocked_nmi();
		case GuestStateQualification::kLinkPointer:
			return link_pointer();
		default:
			return control_registers() || debug_registers_and_msrs() || segments() || descriptor_tables() ||
			       rip_and_rflags() || activity() || interruptibility() || pending_debug_exceptions() ||
			       link_pointer() || pdptes();
		}
	}

	bool find_in_segments() { return segments() || descriptor_tables(); }

 private:
	using Segment = vregcache::Segment;
	static constexpr u64 kHighHalf = 0xffffffff00000000;

	u64 execution(u32 control) const
	{
		bool active = get(vregcache::kPrimaryProcessorBasedControls) & primary::kSecondary;
		return active ? get(vregcache::kSecondaryProcessorBasedControls) & control : 0;
	}
	bool unrestricted() const { return execution(secondary::kUnrestrictedGuest); }
	bool entry(u32 control) const { return get(vregcache::kVmEntryControls) & control; }
	bool ia32e() const { return entry(entry_control::kIa32eMode); }
	bool paging() const { return get(vregcache::kGuestCr0) & cr0::kPg; }
	bool protected_mode() const { return get(vregcache::kGuestCr0) & cr0::kPe; }
	// If VM is set where it must be 0, the segments are not the invalid fields.
	bool virtual_8086() const
	{
		return (get(vregcache::kGuestRflags) & rflags::kVm) && protected_mode() && !ia32e();
	}
	InterruptionInformation event() const
	{
		return {static_cast<u32>(get(vregcache::kVmEntryInterruptionInformation))};
	}
	u64 rights(Segment segment) const { return get(SegmentFields(segment).access_rights); }
	bool usable(Segment segment) const { return !(rights(segment) & vregcache::access_rights::kUnusable); }
	u64 type(Segment segment) const { return rights(segment) & vregcache::access_rights::kTypeMask; }
	u64 dpl(Segment segment) const
	{
		return (rights(segment) & vregcache::access_rights::kDplMask) >> vregcache::access_rights::kDplShift;
	}
	u64 rpl(Segment segment) const { return get(SegmentFields(segment).selector) & 3; }

	// SDM Vol. 3C, 27.3.1.1
	bool control_registers()
	{
		using namespace vregcache;
		u64 unchecked = kCr0Unchecked | (unrestricted() ? cr0::kPe | cr0::kPg : 0);
		section("27.3.1.1");
		return lacks(kGuestCr0, facts().cr0_fixed0 & ~unchecked, "some bits must be 1 in VMX operation") ||
		       has(kGuestCr0, ~facts().cr0_fixed1 & ~unchecked, "some bits must be 0 in VMX operation") ||
		       (paging() && lacks(kGuestCr0, cr0::kPe, "CR0.PG needs CR0.PE")) ||
		       lacks(kGuestCr4, facts().cr4_fixed0, "some bits must be 1 in VMX operation") ||
		       has(kGuestCr4, ~facts().cr4_fixed1, "some bits must be 0 in VMX operation") ||
		       ((get(kGuestCr4) & cr4::kCet) && lacks(kGuestCr0, cr0::kWp, "CR4.CET needs CR0.WP")) ||
		       (ia32e() ? lacks(kGuestCr0, cr0::kPg, "\"IA-32e mode guest\" needs CR0.PG") ||
					  lacks(kGuestCr4, cr4::kPae, "\"IA-32e mode guest\" needs CR4.PAE")
				: has(kGuestCr4, cr4::kPcide, "CR4.PCIDE needs \"IA-32e mode guest\"")) ||
		       beyond_physical(kGuestCr3);
	}

	// SDM Vol. 3C, 27.3.1.1; the bits of IA32_DEBUGCTL: Vol. 4, table 2-2
	bool debug_registers_and_msrs()
	{
		using namespace vregcache;
		u64 debugctl_reserved = ~u64{0x7fc3} & ~(facts().rtm ? u64{1} << 15 : 0) &
					~(facts().bus_lock_detection ? u64{1} << 2 : 0);
		section("27.3.1.1");
		return (entry(entry_control::kLoadDebugControls) &&
			(has(kGuestIa32Debugctl, debugctl_reserved, "reserved bits must be 0") ||
			 has(kGuestDr7, kHighHalf, "bits 63:32 must be 0"))) ||
		       not_canonical(kGuestIa32SysenterEsp) || not_canonical(kGuestIa32SysenterEip) ||
		       (entry(entry_control::kLoadPat) && not_a_pat(kGuestIa32Pat)) ||
		       (entry(entry_control::kLoadEfer) && extended_features());
	}

	bool extended_features()
	{
		using namespace vregcache;
		return has(kGuestIa32Efer, ~efer::kDefined, "reserved bits must be 0") ||
		       (ia32e() ? lacks(kGuestIa32Efer, efer::kLma, "LMA must be 1, as \"IA-32e mode guest\" is")
				: has(kGuestIa32Efer, efer::kLma, "LMA must be 0, as \"IA-32e mode guest\" is")) ||
		       (paging() && (ia32e() ? lacks(kGuestIa32Efer, efer::kLme, "with CR0.PG, LME must equal LMA")
					     : has(kGuestIa32Efer, efer::kLme, "with CR0.PG, LME must equal LMA")));
	}

	// SDM Vol. 3C, 27.3.1.2
	bool segments()
	{
		section("27.3.1.2");
		return selectors() || bases() || (virtual_8086() ? virtual_8086_segments() : ordinary_segments()) ||
		       task_register() || local_descriptor_table();
	}

	bool selectors()
	{
		using namespace vregcache;
		constexpr u64 kTi = 1u << 2;
		return has(kGuestTrSelector, kTi, "its TI must be 0") ||
		       (usable(Segment::kLdtr) && has(kGuestLdtrSelector, kTi, "its TI must be 0")) ||
		       (!virtual_8086() && !unrestricted() && rpl(Segment::kSs) != rpl(Segment::kCs) &&
			conflicts(kGuestSsSelector, "its RPL must equal that of CS", kGuestCsSelector));
	}

	bool bases()
	{
		using namespace vregcache;
		if (not_canonical(kGuestTrBase) || (usable(Segment::kLdtr) && not_canonical(kGuestLdtrBase)))
			return true;
		// In virtual-8086 mode the selectors determine the bases.
		if (virtual_8086())
			return false;
		if (not_canonical(kGuestFsBase) || not_canonical(kGuestGsBase) ||
		    has(kGuestCsBase, kHighHalf, "bits 63:32 must be 0"))
			return true;
		for (Segment segment : {Segment::kSs, Segment::kDs, Segment::kEs}) {
			if (usable(segment) && has(SegmentFields(segment).base, kHighHalf, "bits 63:32 must be 0"))
				return true;
		}
		return false;
	}

	static constexpr Segment kOrdinarySegments[] = {Segment::kCs, Segment::kSs, Segment::kDs,
							Segment::kEs, Segment::kFs, Segment::kGs};

	bool virtual_8086_segments()
	{
		for (Segment segment : kOrdinarySegments) {
			SegmentFields fields(segment);
			if (differs(fields.base, get(fields.selector) << 4,
				    "in virtual-8086 mode it must be the selector times 16") ||
			    differs(fields.limit, 0xffff, "virtual-8086 mode allows one limit only") ||
			    differs(fields.access_rights, 0xf3, "virtual-8086 mode allows one value only"))
				return true;
		}
		return false;
	}

	bool ordinary_segments()
	{
		using namespace vregcache;
		if (code_segment() || stack_segment())
			return true;
		for (Segment segment : {Segment::kDs, Segment::kEs, Segment::kFs, Segment::kGs}) {
			if (usable(segment) && data_segment(segment))
				return true;
		}
		return false;
	}

	bool code_segment()
	{
		using namespace vregcache;
		constexpr u64 kRealMode = 3;
		u64 type = this->type(Segment::kCs), dpl = this->dpl(Segment::kCs);
		bool code = (type & 9) == 9, conforming = (type & 13) == 13;
		if (!code && !(type == kRealMode && unrestricted()))
			return breaks(kGuestCsAccessRights, "its type must be accessed code");
		if (lacks(kGuestCsAccessRights, access_rights::kCodeOrData, "S must be 1"))
			return true;
		if (type == kRealMode && dpl != 0)
			return breaks(kGuestCsAccessRights, "the DPL of a data segment in CS must be 0");
		if (code && !conforming && dpl != this->dpl(Segment::kSs))
			return conflicts(kGuestCsAccessRights, "its DPL must equal that of SS", kGuestSsAccessRights);
		if (conforming && dpl > this->dpl(Segment::kSs))
			return conflicts(kGuestCsAccessRights, "its DPL must not exceed that of SS",
					 kGuestSsAccessRights);
		return present_and_in_form(Segment::kCs) ||
		       (ia32e() && (get(kGuestCsAccessRights) & access_rights::kLong) &&
			has(kGuestCsAccessRights, access_rights::kDefaultBig, "D must be 0 if L is 1")) ||
		       granularity(Segment::kCs);
	}

	bool stack_segment()
	{
		using namespace vregcache;
		u64 type = this->type(Segment::kSs);
		if (usable(Segment::kSs) && type != 3 && type != 7)
			return breaks(kGuestSsAccessRights, "its type must be accessed writable data");
		if (!unrestricted() && dpl(Segment::kSs) != rpl(Segment::kSs))
			return conflicts(kGuestSsAccessRights, "its DPL must equal the selector's RPL",
					 kGuestSsSelector);
		if (dpl(Segment::kSs) != 0 && (this->type(Segment::kCs) == 3 || !protected_mode()))
			return breaks(kGuestSsAccessRights,
				      "its DPL must be 0 in real mode, and if CS is a data segment");
		return usable(Segment::kSs) &&
		       (lacks(kGuestSsAccessRights, access_rights::kCodeOrData, "S must be 1") ||
			present_and_in_form(Segment::kSs) || granularity(Segment::kSs));
	}

	bool data_segment(Segment segment)
	{
		using namespace vregcache;
		constexpr u64 kAccessed = 1, kReadable = 2, kCode = 8, kLastNotConforming = 11;
		AnyField field = SegmentFields(segment).access_rights;
		return lacks(field, kAccessed, "its type must be accessed") ||
		       ((type(segment) & kCode) && lacks(field, kReadable, "code must be readable")) ||
		       lacks(field, access_rights::kCodeOrData, "S must be 1") ||
		       (!unrestricted() && type(segment) <= kLastNotConforming && dpl(segment) < rpl(segment) &&
			conflicts(field, "its DPL must be at least the selector's RPL",
				  SegmentFields(segment).selector)) ||
		       present_and_in_form(segment) || granularity(segment);
	}

	bool present_and_in_form(Segment segment)
	{
		constexpr u64 kReserved = 0xfffe0f00;
		AnyField field = SegmentFields(segment).access_rights;
		return lacks(field, vregcache::access_rights::kPresent, "it must be present") ||
		       has(field, kReserved, "reserved bits must be 0");
	}

	bool granularity(Segment segment)
	{
		SegmentFields fields(segment);
		bool pages = get(fields.access_rights) & vregcache::access_rights::kGranularity;
		u64 limit = get(fields.limit);
		if (pages && (limit & 0xfff) != 0xfff)
			return conflicts(fields.access_rights, "G must be 0 with this limit", fields.limit);
		return !pages && limit >> 20 &&
		       conflicts(fields.access_rights, "G must be 1 with this limit", fields.limit);
	}

	bool task_register()
	{
		using namespace vregcache;
		constexpr u64 kBusy16 = 3, kBusy = 11;
		u64 type = this->type(Segment::kTr);
		if (type != kBusy && (type != kBusy16 || ia32e()))
			return breaks(kGuestTrAccessRights, "its type must be a busy TSS");
		return has(kGuestTrAccessRights, access_rights::kCodeOrData, "S must be 0") ||
		       present_and_in_form(Segment::kTr) ||
		       has(kGuestTrAccessRights, access_rights::kUnusable, "TR must be usable") ||
		       granularity(Segment::kTr);
	}

	bool local_descriptor_table()
	{
		using namespace vregcache;
		constexpr u64 kLdt = 2;
		if (!usable(Segment::kLdtr))
			return false;
		if (type(Segment::kLdtr) != kLdt)
			return breaks(kGuestLdtrAccessRights, "its type must be an LDT");
		return has(kGuestLdtrAccessRights, access_rights::kCodeOrData, "S must be 0") ||
		       present_and_in_form(Segment::kLdtr) || granularity(Segment::kLdtr);
	}

	// SDM Vol. 3C, 27.3.1.3
	bool descriptor_tables()
	{
		using namespace vregcache;
		constexpr u64 kBeyond64Kib = 0xffff0000;
		section("27.3.1.3");
		return not_canonical(kGuestGdtrBase) || not_canonical(kGuestIdtrBase) ||
		       has(kGuestGdtrLimit, kBeyond64Kib, "bits 31:16 must be 0") ||
		       has(kGuestIdtrLimit, kBeyond64Kib, "bits 31:16 must be 0");
	}

	// SDM Vol. 3C, 27.3.1.4
	bool rip_and_rflags()
	{
		using namespace vregcache;
		bool code_64 = ia32e() && (rights(Segment::kCs) & access_rights::kLong);
		section("27.3.1.4");
		return (code_64 ? above_linear_differ(kGuestRip)
				: has(kGuestRip, kHighHalf, "bits 63:32 must be 0 outside 64-bit mode")) ||
		       has(kGuestRflags, rflags::kReserved, "reserved bits must be 0") ||
		       lacks(kGuestRflags, rflags::kFixed, "bit 1 must be 1") ||
		       ((ia32e() || !protected_mode()) &&
			has(kGuestRflags, rflags::kVm, "VM must be 0 in IA-32e mode and in real mode")) ||
		       (event().is(InterruptionType::kExternalInterrupt) &&
			lacks(kGuestRflags, rflags::kIf, "IF must be 1 if an external interrupt is injected"));
	}

	// SDM Vol. 3C, 27.3.1.5
	bool activity()
	{
		using namespace vregcache;
		using namespace activity_state;
		u64 state = get(kGuestActivityState);
		section("27.3.1.5");
		if (state == kActive)
			return false;
		// Bits 8:6 of IA32_VMX_MISC: the states that the processor supports.
		if (state > kWaitForSipi || !(facts().misc >> (5 + state) & 1))
			return breaks(kGuestActivityState, "the processor does not support this state");
		if (state == kHlt && dpl(Segment::kSs) != 0)
			return conflicts(kGuestActivityState, "the HLT state needs a DPL of 0 in SS",
					 kGuestSsAccessRights);
		if (get(kGuestInterruptibilityState) & interruptibility::kInterruptShadow)
			return conflicts(kGuestActivityState, "blocking by STI or MOV SS needs the active state",
					 kGuestInterruptibilityState);
		if (!event().valid())
			return false;
		if ((state == kHlt && !wakes_from_hlt()) || (state == kShutdown && !wakes_from_shutdown()) ||
		    state == kWaitForSipi)
			return conflicts(kGuestActivityState, "this state does not allow the injected event",
					 kVmEntryInterruptionInformation);
		return false;
	}

	bool is_exception(u32 number) const
	{
		return event().is(InterruptionType::kHardwareException) && event().vector() == number;
	}
	bool is_monitor_trap() const { return event().is(InterruptionType::kOtherEvent) && event().vector() == 0; }
	bool wakes_from_hlt() const
	{
		return event().is(InterruptionType::kExternalInterrupt) || event().is(InterruptionType::kNmi) ||
		       is_exception(vector::kDebug) || is_exception(vector::kMachineCheck) || is_monitor_trap();
	}
	bool wakes_from_shutdown() const
	{
		return event().is(InterruptionType::kNmi) || is_exception(vector::kMachineCheck);
	}

	// SDM Vol. 3C, 27.3.1.5
	bool interruptibility()
	{
		using namespace vregcache;
		using interruptibility::kInterruptShadow;
		constexpr u64 kReserved = ~u64{0x1f};
		u64 state = get(kGuestInterruptibilityState);
		section("27.3.1.5");
		if (has(kGuestInterruptibilityState, kReserved, "reserved bits must be 0"))
			return true;
		if ((state & kInterruptShadow) == kInterruptShadow)
			return breaks(kGuestInterruptibilityState, "STI and MOV SS must not both block");
		if ((state & interruptibility::kBlockingBySti) && !(get(kGuestRflags) & rflags::kIf))
			return conflicts(kGuestInterruptibilityState, "blocking by STI needs RFLAGS.IF", kGuestRflags);
		return (event().is(InterruptionType::kExternalInterrupt) &&
			has(kGuestInterruptibilityState, kInterruptShadow,
			    "an injected external interrupt must not be blocked")) ||
		       blocked_nmi() ||
		       has(kGuestInterruptibilityState, interruptibility::kBlockingBySmi,
			   "blocking by SMI must be 0 outside SMM") ||
		       ((state & interruptibility::kEnclave) &&
			has(kGuestInterruptibilityState, interruptibility::kBlockingByMovSs,
			    "blocking by MOV SS must be 0 after an enclave interruption"));
	}

	bool blocked_nmi()
	{
		using namespace vregcache;
		section("27.3.1.5");
		if (!event().is(InterruptionType::kNmi))
			return false;
		return has(kGuestInterruptibilityState, interruptibility::kBlockingByMovSs,
			   "an injected NMI must not be blocked by MOV SS") ||
		       ((get(kPinBasedControls) & pin::kVirtualNmis) &&
			has(kGuestInterruptibilityState, interruptibility::kBlockingByNmi,
			    "an injected virtual NMI must not be blocked by an NMI"));
	}

	// SDM Vol. 3C, 27.3.1.5
	bool pending_debug_exceptions()
	{
		using namespace vregcache;
		u64 defined = pending_debug::kBreakpoints | pending_debug::kEnabledBreakpoint |
			      pending_debug::kSingleStep | (facts().rtm ? pending_debug::kRtm : 0) |
			      (facts().bus_lock_detection ? pending_debug::kBusLock : 0);
		section("27.3.1.5");
		if (has(kGuestPendingDebugExceptions, ~defined, "reserved bits must be 0"))
			return true;
		if (!(get(kGuestInterruptibilityState) & interruptibility::kInterruptShadow) &&
		    get(kGuestActivityState) != activity_state::kHlt)
			return false;
		bool steps = (get(kGuestRflags) & rflags::kTf) && !(get(kGuestIa32Debugctl) & debugctl::kBtf);
		return steps ? lacks(kGuestPendingDebugExceptions, pending_debug::kSingleStep,
				     "BS must be 1 in an interrupt shadow or HLT if TF is 1 and BTF is 0")
			     : has(kGuestPendingDebugExceptions, pending_debug::kSingleStep,
				   "BS must be 0 in an interrupt shadow or HLT if TF is 0 or BTF is 1");
	}

	// SDM Vol. 3C, 27.3.1.5.  It could only point to a shadow VMCS, and there is none.
	bool link_pointer()
	{
		section("27.3.1.5");
		return differs(vregcache::kVmcsLinkPointer, ~u64{0},
			       "it must be all ones, because there is no shadow VMCS");
	}

	// SDM Vol. 3C, 27.3.1.6
	bool pdptes()
	{
		using namespace vregcache;
		section("27.3.1.6");
		if (!paging() || !(get(kGuestCr4) & cr4::kPae) || ia32e() || !execution(secondary::kEpt))
			return false;
		for (AnyField entry :
		     {AnyField(kGuestPdpte0), AnyField(kGuestPdpte1), AnyField(kGuestPdpte2), AnyField(kGuestPdpte3)}) {
			if ((get(entry) & pdpte::kPresent) && has(entry, pdpte::kReserved | beyond_physical(),
								  "reserved bits of a present entry must be 0"))
				return true;
		}
		return false;
	}
};

template <class Reader>
EntryFinding find_invalid_guest_state(const Reader& vmcs, const EntryFacts& facts, u64 qualification)
{
	GuestChecks<Reader> checks(vmcs, facts);
	if (!checks.find(qualification))
		checks.find(static_cast<u64>(GuestStateQualification::kOther));
	return checks.finding();
}

template <class Reader>
EntryFinding find_invalid_segment(const Reader& vmcs, const EntryFacts& facts)
{
	GuestChecks<Reader> checks(vmcs, facts);
	checks.find_in_segments();
	return checks.finding();
}

}  // namespace
