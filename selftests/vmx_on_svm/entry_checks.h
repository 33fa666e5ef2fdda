// SPDX-License-Identifier: GPL-2.0
// The checks of VM-entry.  SDM Vol. 3C, sections 27.2 and 27.3.
#ifndef VMX_ON_SVM_ENTRY_CHECKS_H
#define VMX_ON_SVM_ENTRY_CHECKS_H

#include "control_registers.h"
#include "exit.h"

namespace {

class EntryChecks {
 public:
	explicit EntryChecks(Cpu& cpu) : cpu_(cpu), facts_(cpu.facts) {}

	// SDM Vol. 3C, section 27.2.1.  Failure is VMfailValid(7).
	bool controls() const { return execution_controls() && exit_controls() && entry_controls(); }

	// SDM Vol. 3C, sections 27.2.2 to 27.2.4.  Failure is VMfailValid(8).
	bool host_state() const
	{
		static constexpr Field kAddresses[] = {
			Field::HostFsBase,   Field::HostGsBase,      Field::HostTrBase,      Field::HostGdtrBase,
			Field::HostIdtrBase, Field::HostSysenterEsp, Field::HostSysenterEip, Field::HostRip,
		};
		constexpr u64 kSelectorRplTi = 7;
		const u64 cr4 = read(Field::HostCr4);

		if (!valid_cr0(read(Field::HostCr0), kCr0Fixed0) || !valid_cr4(cr4))
			return false;
		if (!facts_.valid_physical(read(Field::HostCr3)))
			return false;
		for (unsigned i = 0; i < 6; ++i) {
			if (read(Field::HostEsSelector + i) & kSelectorRplTi)
				return false;
		}
		if (read(Field::HostTrSelector) & kSelectorRplTi)
			return false;
		if (!read(Field::HostCsSelector) || !read(Field::HostTrSelector))
			return false;
		for (const Field field : kAddresses) {
			if (!facts_.canonical(read(field)))
				return false;
		}
		if ((cpu_.exit_controls & kExitLoadPat) && !valid_pat(read(Field::HostPat)))
			return false;
		if (cpu_.exit_controls & kExitLoadEfer) {
			const u64 efer = read(Field::HostEfer);
			constexpr u64 kLong = kEferLongMode | kEferLongModeActive;
			if ((efer & ~kEferDefined) || (efer & kLong) != kLong)
				return false;
		}
		// VM-entry from IA-32e mode returns to IA-32e mode.
		return (cpu_.exit_controls & kExitHostAddressSpaceSize) && (cr4 & kCr4PhysicalAddressExtension);
	}

	// SDM Vol. 3C, section 27.3.1.  Failure is an exit with reason 33 and the qualification.
	bool guest_state(u64& qualification) const
	{
		constexpr u64 kQualificationPdpte = 2;
		constexpr u64 kQualificationLinkPointer = 4;

		qualification = 0;
		if (!control_registers() || !segments() || !descriptor_tables() || !rip_and_rflags() ||
		    !non_register_state())
			return false;
		if (!link_pointer()) {
			qualification = kQualificationLinkPointer;
			return false;
		}
		if (!pdptes()) {
			qualification = kQualificationPdpte;
			return false;
		}
		return true;
	}

 private:
	u64 read(Field field) const { return cpu_.read(field); }
	bool valid_cr0(u64 value, u64 fixed0) const { return !(fixed0 & ~value) && !(value & ~kCr0Fixed1); }
	bool valid_cr4(u64 value) const
	{
		const u64 fixed0 = g_cr4_hides_vmxe ? 0 : kCr4Fixed0;
		return !(fixed0 & ~value) && !(value & ~facts_.cr4_may_be_1);
	}
	bool unrestricted() const { return cpu_.proc2_controls & kProc2UnrestrictedGuest; }
	bool ia32e() const { return cpu_.entry_controls & kEntryIa32eMode; }
	bool virtual_8086() const { return read(Field::GuestRflags) & kFlagVirtual8086; }

	bool page_address(Field field) const
	{
		const u64 address = read(field);
		return !(address & ~kPageMask) && facts_.valid_physical(address);
	}

	bool msr_area(Field address_field, Field count_field) const
	{
		const u64 count = read(count_field);
		const u64 address = read(address_field);
		if (!count)
			return true;
		return !(address & 15) && facts_.valid_physical(address) &&
		       facts_.valid_physical(address + count * sizeof(MsrAreaEntry) - 1);
	}

	bool execution_controls() const
	{
		const u64 pin = cpu_.pin_controls;
		const u64 proc = cpu_.proc_controls;
		const u64 proc2 = cpu_.proc2_controls;

		if (!kPinGroup.allows(pin) || !kProcGroup.allows(proc) || !kProc2Group.allows(proc2))
			return false;
		if (read(Field::Cr3TargetCount) > kCr3TargetCount)
			return false;
		if ((proc & kProcIoBitmaps) && !(page_address(Field::IoBitmapA) && page_address(Field::IoBitmapB)))
			return false;
		if ((proc & kProcMsrBitmaps) && !page_address(Field::MsrBitmap))
			return false;
		if ((pin & kPinVirtualNmis) && !(pin & kPinNmiExiting))
			return false;
		if ((proc & kProcNmiWindowExiting) && !(pin & kPinVirtualNmis))
			return false;
		if ((proc & kProcTprShadow) && !tpr_shadow())
			return false;
		if ((proc2 & kProc2TscScaling) && !read(Field::TscMultiplier))
			return false;
		if ((proc2 & kProc2Vpid) && !read(Field::Vpid))
			return false;
		if ((proc2 & kProc2UnrestrictedGuest) && !(proc2 & kProc2Ept))
			return false;
		return !(proc2 & kProc2Ept) || valid_ept_pointer(facts_, read(Field::EptPointer));
	}

	bool tpr_shadow() const
	{
		const u64 threshold = read(Field::TprThreshold);
		if (!page_address(Field::VirtualApicAddress) || (threshold & bits(4, 31)))
			return false;
		return threshold <= *virtual_tpr(cpu_) >> 4;
	}

	bool exit_controls() const
	{
		const bool timer = cpu_.pin_controls & kPinPreemptionTimer;
		if ((cpu_.exit_controls & kExitSavePreemptionTimer) && !timer)
			return false;
		return kExitGroup.allows(cpu_.exit_controls) &&
		       msr_area(Field::ExitMsrStoreAddress, Field::ExitMsrStoreCount) &&
		       msr_area(Field::ExitMsrLoadAddress, Field::ExitMsrLoadCount);
	}

	bool entry_controls() const
	{
		return kEntryGroup.allows(cpu_.entry_controls) && injected_event() &&
		       msr_area(Field::EntryMsrLoadAddress, Field::EntryMsrLoadCount);
	}

	// SDM Vol. 3C, section 27.2.1.3.
	bool injected_event() const
	{
		const u32 info = read(Field::EntryInterruptionInfo);
		const u32 type = info_type(info);
		const unsigned vector = info & 0xff;

		if (!(info & kInfoValid))
			return true;
		if (type == kTypeReserved || (info & kInfoReserved))
			return false;
		// A pending VM-exit of the monitor trap flag.
		if (type == kTypeOther && vector)
			return false;
		if (type == kTypeNmi && vector != kNmi)
			return false;
		if (type == kTypeHardwareException && vector > 31)
			return false;
		const bool protected_mode = !unrestricted() || (read(Field::GuestCr0) & kCr0ProtectionEnable);
		const bool needs_error = protected_mode && type == kTypeHardwareException && has_error_code(vector);
		if (needs_error != !!(info & kInfoErrorCode))
			return false;
		if (needs_error && (read(Field::EntryExceptionError) & bits(16, 31)))
			return false;
		if (is_software(type)) {
			const u64 length = read(Field::EntryInstructionLength);
			return length >= 1 && length <= kMaximumInstruction;
		}
		return true;
	}

	// SDM Vol. 3C, section 27.3.1.1.
	bool control_registers() const
	{
		const u64 cr0 = read(Field::GuestCr0);
		const u64 cr4 = read(Field::GuestCr4);
		const u64 relaxed = unrestricted() ? kCr0ProtectionEnable | kCr0Paging : 0;

		// CD and NW are not loaded, and not checked.
		if (!valid_cr0(cr0 & ~(kCr0CacheDisable | kCr0NotWriteThrough), kCr0Fixed0 & ~relaxed))
			return false;
		if ((cr0 & kCr0Paging) && !(cr0 & kCr0ProtectionEnable))
			return false;
		if (!valid_cr4(cr4))
			return false;
		if ((cpu_.entry_controls & kEntryLoadDebugControls) &&
		    ((read(Field::GuestDebugControl) & ~kDebugControlDefined) || read(Field::GuestDr7) >> 32))
			return false;
		if (ia32e() && !((cr0 & kCr0Paging) && (cr4 & kCr4PhysicalAddressExtension)))
			return false;
		if (!ia32e() && (cr4 & kCr4Pcide))
			return false;
		if (!facts_.valid_physical(read(Field::GuestCr3)))
			return false;
		if (!facts_.canonical(read(Field::GuestSysenterEsp)) ||
		    !facts_.canonical(read(Field::GuestSysenterEip)))
			return false;
		if ((cpu_.entry_controls & kEntryLoadPat) && !valid_pat(read(Field::GuestPat)))
			return false;
		if (cpu_.entry_controls & kEntryLoadEfer) {
			const u64 efer = read(Field::GuestEfer);
			const bool active = efer & kEferLongModeActive;
			if ((efer & ~kEferDefined) || active != ia32e())
				return false;
			if ((cr0 & kCr0Paging) && active != !!(efer & kEferLongMode))
				return false;
		}
		return true;
	}

	struct Access {
		explicit Access(u64 value)
		    : type(value & 15), code_or_data(value & bit(4)), dpl(value >> 5 & 3), present(value & bit(7)),
		      reserved(value & (bits(8, 11) | bits(17, 31))), long_mode(value & bit(13)), big(value & bit(14)),
		      granular(value & bit(15)), unusable(value & kAccessUnusable)
		{}
		unsigned type;
		bool code_or_data;
		unsigned dpl;
		bool present;
		bool reserved;
		bool long_mode, big, granular;
		bool unusable;

		bool code() const { return type & 8; }
	};

	static bool limit_fits(const Access& access, u64 limit)
	{
		if (access.granular)
			return (limit & 0xfff) == 0xfff;
		return !(limit & bits(20, 31));
	}

	// SDM Vol. 3C, section 27.3.1.2.
	bool segments() const
	{
		static constexpr Segment kBasesOf32Bits[] = {kEs, kSs, kDs};
		constexpr u64 kSelectorTi = bit(2);
		const Access tr(read(Field::GuestTrAccess));
		const Access ldtr(read(Field::GuestLdtrAccess));
		const u64 ss_selector = read(Field::GuestSsSelector);
		const u64 cs_selector = read(Field::GuestCsSelector);

		if (read(Field::GuestTrSelector) & kSelectorTi)
			return false;
		if (!ldtr.unusable && (read(Field::GuestLdtrSelector) & kSelectorTi))
			return false;
		if (!virtual_8086() && !unrestricted() && ((ss_selector ^ cs_selector) & 3))
			return false;
		if (!facts_.canonical(read(Field::GuestTrBase)) || !facts_.canonical(read(Field::GuestFsBase)) ||
		    !facts_.canonical(read(Field::GuestGsBase)))
			return false;
		if (!ldtr.unusable && !facts_.canonical(read(Field::GuestLdtrBase)))
			return false;
		if (read(Field::GuestCsBase) >> 32)
			return false;
		for (const Segment i : kBasesOf32Bits) {
			const Access access(read(Field::GuestEsAccess + i));
			if (!access.unusable && read(Field::GuestEsBase + i) >> 32)
				return false;
		}
		if (virtual_8086() ? !virtual_8086_segments() : !ordinary_segments())
			return false;
		return task_register(tr) && local_descriptor_table(ldtr);
	}

	bool virtual_8086_segments() const
	{
		constexpr u64 kAccess = 0xf3;
		for (unsigned i = kEs; i <= kGs; ++i) {
			if (read(Field::GuestEsBase + i) != read(Field::GuestEsSelector + i) << 4 ||
			    read(Field::GuestEsLimit + i) != 0xffff || read(Field::GuestEsAccess + i) != kAccess)
				return false;
		}
		return true;
	}

	bool ordinary_segments() const
	{
		const Access cs(read(Field::GuestCsAccess));
		const Access ss(read(Field::GuestSsAccess));
		const bool real_mode = !(read(Field::GuestCr0) & kCr0ProtectionEnable);
		const unsigned ss_rpl = read(Field::GuestSsSelector) & 3;

		const bool cs_is_code = cs.type == 9 || cs.type == 11 || cs.type == 13 || cs.type == 15;
		const bool cs_is_real_mode_data = unrestricted() && cs.type == 3;
		if (cs.unusable || !(cs_is_code || cs_is_real_mode_data))
			return false;
		if (!ss.unusable && ss.type != 3 && ss.type != 7)
			return false;
		for (unsigned i = kEs; i <= kGs; ++i) {
			const Access access(read(Field::GuestEsAccess + i));
			const bool other = i != kCs && i != kSs;
			if (access.unusable)
				continue;
			if (other && (!(access.type & 1) || (access.code() && !(access.type & 2))))
				return false;
			if (!access.code_or_data || !access.present || access.reserved)
				return false;
			if (!limit_fits(access, read(Field::GuestEsLimit + i)))
				return false;
			// Data and non-conforming code; with unrestricted guest, RPL and DPL are not compared.
			if (other && !unrestricted() && access.type <= 11 &&
			    access.dpl < (read(Field::GuestEsSelector + i) & 3))
				return false;
		}
		if (cs.type == 3 && cs.dpl)
			return false;
		if ((cs.type == 9 || cs.type == 11) && cs.dpl != ss.dpl)
			return false;
		if ((cs.type == 13 || cs.type == 15) && cs.dpl > ss.dpl)
			return false;
		if (!unrestricted() && ss.dpl != ss_rpl)
			return false;
		if ((cs.type == 3 || real_mode) && ss.dpl)
			return false;
		return !(ia32e() && cs.long_mode && cs.big);
	}

	bool task_register(const Access& tr) const
	{
		const bool busy_32_or_64 = tr.type == 11;
		const bool busy_16 = tr.type == 3 && !ia32e();
		return (busy_32_or_64 || busy_16) && !tr.code_or_data && tr.present && !tr.reserved && !tr.unusable &&
		       limit_fits(tr, read(Field::GuestTrLimit));
	}

	bool local_descriptor_table(const Access& ldtr) const
	{
		if (ldtr.unusable)
			return true;
		return ldtr.type == 2 && !ldtr.code_or_data && ldtr.present && !ldtr.reserved &&
		       limit_fits(ldtr, read(Field::GuestLdtrLimit));
	}

	// SDM Vol. 3C, section 27.3.1.3.
	bool descriptor_tables() const
	{
		return facts_.canonical(read(Field::GuestGdtrBase)) && facts_.canonical(read(Field::GuestIdtrBase)) &&
		       !(read(Field::GuestGdtrLimit) >> 16) && !(read(Field::GuestIdtrLimit) >> 16);
	}

	// SDM Vol. 3C, section 27.3.1.4.
	bool rip_and_rflags() const
	{
		const u64 rip = read(Field::GuestRip);
		const u64 rflags = read(Field::GuestRflags);
		const u32 info = read(Field::EntryInterruptionInfo);
		const bool code_64 = ia32e() && (read(Field::GuestCsAccess) & bit(13));

		if (code_64 ? !facts_.canonical(rip) : !!(rip >> 32))
			return false;
		if ((rflags & kFlagsReserved) || !(rflags & kFlagReserved1))
			return false;
		if ((ia32e() || !(read(Field::GuestCr0) & kCr0ProtectionEnable)) && (rflags & kFlagVirtual8086))
			return false;
		const bool external = (info & kInfoValid) && info_type(info) == kTypeExternalInterrupt;
		return !external || (rflags & kFlagInterrupt);
	}

	// Whether the event may be injected in that state.
	static bool wakes(u64 activity, u32 info)
	{
		constexpr unsigned kMachineCheck = 18;
		const u32 type = info_type(info);
		const unsigned vector = info & 0xff;
		const bool exception = type == kTypeHardwareException;

		switch (activity) {
		case kActivityActive:
			return true;
		case kActivityHlt:
			return type == kTypeExternalInterrupt || type == kTypeNmi || type == kTypeOther ||
			       (exception && (vector == kDebug || vector == kMachineCheck));
		case kActivityShutdown:
			return type == kTypeNmi || (exception && vector == kMachineCheck);
		default:
			return false;
		}
	}

	// SDM Vol. 3C, section 27.3.1.5.
	bool non_register_state() const
	{
		constexpr u64 kInterruptibilityDefined = kBlockingBySti | kBlockingByMovSs | kBlockingByNmi;
		constexpr u64 kPendingDefined = kDr6Breakpoints | kPendingEnabledBreakpoint | kDr6SingleStep;
		const u64 state = read(Field::GuestInterruptibility);
		const u64 rflags = read(Field::GuestRflags);
		const u64 pending = read(Field::GuestPendingDebug);
		const u32 info = read(Field::EntryInterruptionInfo);
		const bool valid = info & kInfoValid;
		const u8 shadow = state & (kBlockingBySti | kBlockingByMovSs);

		const u64 activity = read(Field::GuestActivity);
		if (activity > kActivityWaitForSipi || (state & ~kInterruptibilityDefined))
			return false;
		if (activity == kActivityHlt && Access(read(Field::GuestSsAccess)).dpl)
			return false;
		if (activity != kActivityActive && shadow)
			return false;
		if (valid && !wakes(activity, info))
			return false;
		if (shadow == (kBlockingBySti | kBlockingByMovSs))
			return false;
		if ((shadow & kBlockingBySti) && !(rflags & kFlagInterrupt))
			return false;
		if (valid && info_type(info) == kTypeExternalInterrupt && shadow)
			return false;
		if (valid && info_type(info) == kTypeNmi) {
			if (shadow & kBlockingByMovSs)
				return false;
			if ((cpu_.pin_controls & kPinVirtualNmis) && (state & kBlockingByNmi))
				return false;
		}
		if (pending & ~kPendingDefined)
			return false;
		if (shadow || activity == kActivityHlt) {
			constexpr u64 kDebugControlBtf = bit(1);
			const bool stepping = (rflags & kFlagTrap) &&
					      !(read(Field::GuestDebugControl) & kDebugControlBtf);
			if (stepping != !!(pending & bit(14)))
				return false;
		}
		return true;
	}

	bool link_pointer() const
	{
		const u64 pointer = read(Field::VmcsLinkPointer);
		if (pointer == ~u64{0})
			return true;
		if (!page_address(Field::VmcsLinkPointer))
			return false;
		return static_cast<VmcsRegion*>(cpu_.memory(pointer))->revision == kVmcsRevision;
	}

	// SDM Vol. 3C, section 27.3.1.6.
	bool pdptes() const
	{
		const u64 cr0 = read(Field::GuestCr0);
		const u64 cr4 = read(Field::GuestCr4);
		u64 pdpte[4];

		if (!(cr0 & kCr0Paging) || !(cr4 & kCr4PhysicalAddressExtension) || ia32e())
			return true;
		if (cpu_.ept()) {
			for (unsigned i = 0; i < 4; ++i)
				pdpte[i] = read(Field::GuestPdpte0 + i);
		} else {
			copy_bytes(pdpte, cpu_.memory(read(Field::GuestCr3) & 0xffffffe0), sizeof(pdpte));
			// QEMU 7.2 sets this bit in memory when it walks, where a CPU does not.
			for (u64& entry : pdpte)
				entry &= ~kPageAccessed;
		}
		return valid_pdptes(facts_, pdpte);
	}

	Cpu& cpu_;
	const CpuFacts& facts_;
};

}  // namespace

#endif
