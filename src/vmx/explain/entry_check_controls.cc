// SPDX-License-Identifier: GPL-2.0
// The checks of the VMX controls (SDM Vol. 3C, 27.2.1), in the SDM's order.  The module never sets a control that is neither in
// control_bits.h nor here, so the checks that it would add are not made.
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
		       exceeds(vregcache::kCr3TargetCount, facts().misc >> 16 & 0x1ff,
			       "the processor supports fewer") ||
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
		constexpr u64 kMemoryType = 7;
		constexpr u64 kAccessedAndDirty = 1u << 6, kShadowStack = 1u << 7, kReserved = 0xf00;
		auto offers = [this](u64 bit) { return (facts().ept_vpid & bit) != 0; };
		u64 pointer = get(vregcache::kEptPointer);
		u64 type = pointer & kMemoryType;
		u64 levels = (pointer >> 3 & 7) + 1;

		if (!(type == memory_type::kUncacheable && offers(ept_capability::kUncacheable)) &&
		    !(type == memory_type::kWriteBack && offers(ept_capability::kWriteBack)))
			return breaks(vregcache::kEptPointer,
				      "bits 2:0 must be a memory type that the processor supports");
		if (!(levels == 4 && offers(ept_capability::kPageWalk4)) &&
		    !(levels == 5 && offers(ept_capability::kPageWalk5)))
			return breaks(vregcache::kEptPointer,
				      "bits 5:3 must be a page-walk length that the processor supports");
		return (!offers(ept_capability::kAccessedAndDirty) &&
			has(vregcache::kEptPointer, kAccessedAndDirty,
			    "the processor has no accessed and dirty flags for EPT")) ||
		       (!offers(ept_capability::kShadowStack) &&
			has(vregcache::kEptPointer, kShadowStack,
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
			has(vregcache::kVmExitControls, kSavePreemptionTimer,
			    "saving the preemption timer needs an active preemption timer")) ||
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
			   "these bits must be 0 outside SMM");
	}

	bool injected_event()
	{
		using namespace vregcache;
		const InterruptionInformation event{static_cast<u32>(get(kVmEntryInterruptionInformation))};
		if (!event.valid())
			return false;
		const InterruptionType type = event.type();
		const u8 vector = event.vector();
		if (type == InterruptionType::kReserved)
			return breaks(kVmEntryInterruptionInformation, "its type, bits 10:8, is reserved");
		if (type == InterruptionType::kOtherEvent && (vector != 0 || !offers_monitor_trap_flag()))
			return breaks(kVmEntryInterruptionInformation,
				      "the processor does not support this \"other event\"");
		if (type == InterruptionType::kNmi && vector != vector::kNmi)
			return breaks(kVmEntryInterruptionInformation, "the vector of an NMI must be 2");
		if (type == InterruptionType::kHardwareException && vector > 31)
			return breaks(kVmEntryInterruptionInformation,
				      "the vector of a hardware exception must be 31 or less");
		return error_code(event) ||
		       has(kVmEntryInterruptionInformation, InterruptionInformation::kReservedAtEntry,
			   "reserved bits must be 0") ||
		       instruction_length(event);
	}

	bool error_code(InterruptionInformation event)
	{
		using namespace vregcache;
		bool given = event.has_error_code();
		bool can_have = event.type() == InterruptionType::kHardwareException && protected_mode();
		bool must_have = can_have && ::has_error_code(event.vector());
		bool any = facts().basic & vmx_basic::kErrorCodeWithAnyVector;
		if (given && !(any ? can_have : must_have))
			return breaks(kVmEntryInterruptionInformation,
				      "this event has no error code, so bit 11 must be 0");
		if (!given && must_have && !any)
			return breaks(kVmEntryInterruptionInformation,
				      "this event has an error code, so bit 11 must be 1");
		return given && has(kVmEntryExceptionErrorCode, 0xffff0000, "bits 31:16 must be 0");
	}

	bool instruction_length(InterruptionInformation event)
	{
		// Bit 30 of IA32_VMX_MISC: the length may be 0.
		constexpr u64 kLength0 = 1u << 30;
		if (!event.is_software() || event.type() == InterruptionType::kOtherEvent)
			return false;
		if (!get(vregcache::kVmEntryInstructionLength) && !(facts().misc & kLength0))
			return breaks(vregcache::kVmEntryInstructionLength,
				      "a software event must have an instruction length");
		return exceeds(vregcache::kVmEntryInstructionLength, 15, "no instruction is longer");
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
			conflicts(address, "the area must end within the physical-address width", count));
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

template <class Reader>
EntryFinding find_invalid_control(const Reader& vmcs, const EntryFacts& facts)
{
	ControlChecks<Reader> checks(vmcs, facts);
	checks.find();
	return checks.finding();
}

}  // namespace
