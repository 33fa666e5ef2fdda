// SPDX-License-Identifier: GPL-2.0
// The checks of the VMX controls (SDM Vol. 3C, 27.2.1), in the SDM's order.  A control that is neither in a list of controls.h
// nor here is never set, so the checks that it would add are not made.
#pragma once

#include "vmx/explain/entry_check_rules.h"

namespace {

template <class Reader>
class ControlChecks : public EntryRules<Reader> {
 public:
	VRC_ENTRY_RULES(Reader);

	bool find() { return execution_controls() || exit_controls() || entry_controls(); }

 private:
	static constexpr u32 kPreemptionTimer = 1u << 6;                          // pin-based
	static constexpr u32 kIoBitmaps = 1u << 25, kMsrBitmaps = 1u << 28;       // primary
	static constexpr u32 kVpid = 1u << 5;                                     // secondary
	static constexpr u32 kSavePreemptionTimer = 1u << 22;                     // VM-exit
	static constexpr u32 kEntryToSmm = 1u << 10, kEndDualMonitor = 1u << 11;  // VM-entry

	// SDM Vol. 3C, 27.2.1.1
	bool execution_controls()
	{
		section("27.2.1.1");
		return not_allowed(vregcache::kPinBasedControls, facts().pin_based) ||
		       not_allowed(vregcache::kPrimaryProcessorBasedControls, facts().primary) ||
		       (has_secondary() &&
			not_allowed(vregcache::kSecondaryProcessorBasedControls, facts().secondary)) ||
		       exceeds(vregcache::kCr3TargetCount, facts().misc >> 16 & 0x1ff, "the processor has fewer") ||
		       bitmaps() || nmi_controls() ||
		       ((secondary() & kVpid) && !get(vregcache::kVirtualProcessorId) &&
			breaks(vregcache::kVirtualProcessorId, "with \"enable VPID\" it must not be 0")) ||
		       ((secondary() & secondary::kEpt) && ept_pointer()) ||
		       ((secondary() & secondary::kUnrestrictedGuest) &&
			lacks(vregcache::kSecondaryProcessorBasedControls, secondary::kEpt,
			      "\"unrestricted guest\" needs \"enable EPT\""));
	}

	bool bitmaps()
	{
		return (has_primary(kIoBitmaps) &&
			(not_a_page(vregcache::kIoBitmapA) || not_a_page(vregcache::kIoBitmapB))) ||
		       (has_primary(kMsrBitmaps) && not_a_page(vregcache::kMsrBitmaps));
	}

	bool nmi_controls()
	{
		u64 pin_based = get(vregcache::kPinBasedControls);
		return ((pin_based & pin::kVirtualNmis) &&
			lacks(vregcache::kPinBasedControls, pin::kNmi, "\"virtual NMIs\" needs \"NMI exiting\"")) ||
		       (!(pin_based & pin::kVirtualNmis) &&
			has(vregcache::kPrimaryProcessorBasedControls, primary::kNmiWindow,
			    "\"NMI-window exiting\" needs \"virtual NMIs\""));
	}

	// Format: SDM Vol. 3C, 25.6.11; the features that the processor supports: Vol. 3D, A.10.
	bool ept_pointer()
	{
		constexpr u64 kMemoryType = 7, kUncacheable = 0, kWriteBack = 6;
		constexpr u64 kAccessedAndDirty = 1u << 6, kShadowStack = 1u << 7, kReserved = 0xf00;
		constexpr u64 kHasWalk4 = 1u << 6, kHasWalk5 = 1u << 7, kHasUncacheable = 1u << 8,
			      kHasWriteBack = 1u << 14, kHasAccessedAndDirty = 1u << 21, kHasShadowStack = 1u << 23;
		auto offers = [this](u64 bit) { return (facts().ept_vpid & bit) != 0; };
		u64 pointer = get(vregcache::kEptPointer);
		u64 type = pointer & kMemoryType;
		u64 levels = (pointer >> 3 & 7) + 1;

		if (!(type == kUncacheable && offers(kHasUncacheable)) &&
		    !(type == kWriteBack && offers(kHasWriteBack)))
			return breaks(vregcache::kEptPointer,
				      "its bits 2:0 must be a memory type that the processor offers");
		if (!(levels == 4 && offers(kHasWalk4)) && !(levels == 5 && offers(kHasWalk5)))
			return breaks(vregcache::kEptPointer,
				      "its bits 5:3 must be a page-walk length that the processor offers");
		return (!offers(kHasAccessedAndDirty) &&
			has(vregcache::kEptPointer, kAccessedAndDirty,
			    "the processor has no accessed and dirty flags for EPT")) ||
		       (!offers(kHasShadowStack) && has(vregcache::kEptPointer, kShadowStack,
							"the processor has no supervisor shadow-stack control")) ||
		       has(vregcache::kEptPointer, kReserved, "reserved bits must be 0") ||
		       beyond_physical(vregcache::kEptPointer);
	}

	// SDM Vol. 3C, 27.2.1.2
	bool exit_controls()
	{
		section("27.2.1.2");
		return not_allowed(vregcache::kVmExitControls, facts().vm_exit) ||
		       (!(get(vregcache::kPinBasedControls) & kPreemptionTimer) &&
			has(vregcache::kVmExitControls, kSavePreemptionTimer, "the preemption timer is not active")) ||
		       msr_area(vregcache::kVmExitMsrStoreCount, vregcache::kVmExitMsrStoreAddress) ||
		       msr_area(vregcache::kVmExitMsrLoadCount, vregcache::kVmExitMsrLoadAddress);
	}

	// SDM Vol. 3C, 27.2.1.3
	bool entry_controls()
	{
		section("27.2.1.3");
		return not_allowed(vregcache::kVmEntryControls, facts().vm_entry) || injected_event() ||
		       msr_area(vregcache::kVmEntryMsrLoadCount, vregcache::kVmEntryMsrLoadAddress) ||
		       has(vregcache::kVmEntryControls, kEntryToSmm | kEndDualMonitor,
			   "only an SMM monitor may set these");
	}

	bool injected_event()
	{
		using namespace vregcache;
		u64 word = get(kVmEntryInterruptionInformation);
		if (!(word & injected::kValid))
			return false;
		u32 type = injected::type(word), vector = injected::vector(word);
		if (type == injected::kReservedType)
			return breaks(kVmEntryInterruptionInformation, "its bits 10:8 are a reserved type");
		if (type == injected::kOtherEvent && (vector != 0 || !offers_monitor_trap_flag()))
			return breaks(kVmEntryInterruptionInformation, "the processor has no such \"other event\"");
		if (type == injected::kNmi && vector != vector::kNmi)
			return breaks(kVmEntryInterruptionInformation, "the vector of an NMI must be 2");
		if (type == injected::kHardwareException && vector > 31)
			return breaks(kVmEntryInterruptionInformation,
				      "the vector of a hardware exception must be 31 or less");
		return error_code(word) ||
		       has(kVmEntryInterruptionInformation, injected::kReserved, "reserved bits must be 0") ||
		       instruction_length(word);
	}

	bool error_code(u64 word)
	{
		using namespace vregcache;
		// With IA32_VMX_BASIC bit 56 a hardware exception may have an error code or not, regardless of its vector.
		constexpr u64 kAnyVector = u64{1} << 56;
		bool given = word & injected::kErrorCode;
		bool can_have = injected::type(word) == injected::kHardwareException && protected_mode();
		bool must_have = can_have && ::has_error_code(static_cast<u8>(injected::vector(word)));
		bool any = facts().basic & kAnyVector;
		if (given && !(any ? can_have : must_have))
			return breaks(kVmEntryInterruptionInformation,
				      "this event has no error code, so its bit 11 must be 0");
		if (!given && must_have && !any)
			return breaks(kVmEntryInterruptionInformation,
				      "this event has an error code, so its bit 11 must be 1");
		return given && has(kVmEntryExceptionErrorCode, 0xffff0000, "its upper half must be 0");
	}

	bool instruction_length(u64 word)
	{
		// Bit 30 of IA32_VMX_MISC: the length may be 0.
		constexpr u64 kLength0 = 1u << 30;
		if (!injected::is_software(word))
			return false;
		if (!get(vregcache::kVmEntryInstructionLength) && !(facts().misc & kLength0))
			return breaks(vregcache::kVmEntryInstructionLength, "a software event must have a length");
		return exceeds(vregcache::kVmEntryInstructionLength, 15, "instructions are not that long");
	}

	// A list of MSRs to store or to load, 16 bytes each.
	bool msr_area(AnyField count, AnyField address)
	{
		u64 entries = get(count);
		if (!entries)
			return false;
		u64 last = get(address) + entries * 16 - 1;
		return has(address, 0xf, "it must be a multiple of 16") || beyond_physical(address) ||
		       ((last & beyond_physical()) &&
			conflicts(address, "the area must end within physical addresses", count));
	}

	bool has_primary(u32 control) const { return get(vregcache::kPrimaryProcessorBasedControls) & control; }
	bool has_secondary() const { return has_primary(primary::kSecondary); }
	u64 secondary() const { return has_secondary() ? get(vregcache::kSecondaryProcessorBasedControls) : 0; }
	bool offers_monitor_trap_flag() const { return facts().primary.may_be_1 & 1u << 27; }

	bool protected_mode() const
	{
		return !(secondary() & secondary::kUnrestrictedGuest) || (get(vregcache::kGuestCr0) & cr0::kPe);
	}
};

}  // namespace
