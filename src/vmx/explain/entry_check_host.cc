// SPDX-License-Identifier: GPL-2.0
// The checks of the host's state (SDM Vol. 3C, 27.2.2 to 27.2.4), for a host that is in IA-32e mode.
#include <initializer_list>

#include "vmx/explain/entry_check_rules.h"

namespace {

template <class Reader>
class HostChecks : public EntryRules<Reader> {
 public:
	VRC_ENTRY_RULES(Reader);

	// The other checks depend on the address-space size, so it comes first.
	bool find() { return address_space_size() || control_registers_and_msrs() || segments_and_tables(); }

 private:
	// SDM Vol. 3C, 27.2.4
	bool address_space_size()
	{
		section("27.2.4");
		return lacks(vregcache::kVmExitControls, exit_control::kHostAddressSpaceSize,
			     "\"host address-space size\" must be 1, because the host is in IA-32e mode") ||
		       lacks(vregcache::kHostCr4, cr4::kPae, "IA-32e mode needs CR4.PAE") ||
		       not_canonical(vregcache::kHostRip);
	}

	// SDM Vol. 3C, 27.2.2
	bool control_registers_and_msrs()
	{
		using namespace vregcache;
		constexpr u64 kLong = efer::kLme | efer::kLma;
		u64 controls = get(kVmExitControls);
		section("27.2.2");
		return lacks(kHostCr0, facts().cr0_fixed0 & ~kCr0Unchecked, "some bits must be 1 in VMX operation") ||
		       has(kHostCr0, ~facts().cr0_fixed1 & ~kCr0Unchecked, "some bits must be 0 in VMX operation") ||
		       lacks(kHostCr4, facts().cr4_fixed0, "some bits must be 1 in VMX operation") ||
		       has(kHostCr4, ~facts().cr4_fixed1, "some bits must be 0 in VMX operation") ||
		       ((get(kHostCr4) & cr4::kCet) && lacks(kHostCr0, cr0::kWp, "CR4.CET needs CR0.WP")) ||
		       beyond_physical(kHostCr3) || not_canonical(kHostIa32SysenterEsp) ||
		       not_canonical(kHostIa32SysenterEip) ||
		       ((controls & exit_control::kLoadPat) && not_a_pat(kHostIa32Pat)) ||
		       ((controls & exit_control::kLoadEfer) &&
			(has(kHostIa32Efer, ~efer::kDefined, "reserved bits must be 0") ||
			 lacks(kHostIa32Efer, kLong, "LMA and LME must be 1, as \"host address-space size\" is")));
	}

	// SDM Vol. 3C, 27.2.3
	bool segments_and_tables()
	{
		using namespace vregcache;
		constexpr u64 kRplAndTi = 7;
		constexpr AnyField kSelectors[] = {kHostCsSelector, kHostSsSelector, kHostDsSelector, kHostEsSelector,
						   kHostFsSelector, kHostGsSelector, kHostTrSelector};
		constexpr AnyField kBases[] = {kHostFsBase, kHostGsBase, kHostGdtrBase, kHostIdtrBase, kHostTrBase};

		section("27.2.3");
		for (AnyField selector : kSelectors) {
			if (has(selector, kRplAndTi, "its RPL and TI must be 0"))
				return true;
		}
		for (AnyField selector : {AnyField(kHostCsSelector), AnyField(kHostTrSelector)}) {
			if (!get(selector))
				return breaks(selector, "it must not be 0");
		}
		for (AnyField base : kBases) {
			if (not_canonical(base))
				return true;
		}
		return false;
	}
};

template <class Reader>
EntryFinding find_invalid_host_state(const Reader& vmcs, const EntryFacts& facts)
{
	HostChecks<Reader> checks(vmcs, facts);
	checks.find();
	return checks.finding();
}

}  // namespace
