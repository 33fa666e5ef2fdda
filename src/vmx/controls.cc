// SPDX-License-Identifier: GPL-2.0
// VMX controls: those that the module needs, and those that the CPU allows.
#include "vmx/controls.h"

#include "linux/host.h"
#include "vmx/architecture.h"
#include "vmx/cpu.h"

namespace {

struct NamedControl {
	u32 bit;
	const char* name;
};

// The controls of one capability MSR: bits 31:0 must be 1, bits 63:32 may be 1 (SDM Vol. 3D, A.3).
// Logs the name of the first required control that is absent, and returns false.
template <unsigned kRequired>
bool choose_controls(u32 capability_msr, const char* group, const NamedControl (&required)[kRequired], u32 optional,
		     u32& chosen)
{
	u64 capability = rdmsr(capability_msr);
	u32 must_be_one = static_cast<u32>(capability);
	u32 may_be_one = static_cast<u32>(capability >> 32);
	chosen = must_be_one | (optional & may_be_one);
	for (const NamedControl& control : required) {
		if (!(may_be_one & control.bit)) {
			vrc_host_error("this CPU does not support the %s VM-%s control, which the module needs",
				       control.name, group);
			return false;
		}
		chosen |= control.bit;
	}
	return true;
}

constexpr NamedControl kRequiredPinBased[] = {
	{pin::kExternalInterrupt, "\"external-interrupt exiting\""},
	{pin::kNmi, "\"NMI exiting\""},
	{pin::kVirtualNmis, "\"virtual NMIs\""},
};

constexpr NamedControl kRequiredPrimary[] = {
	{primary::kHlt, "\"HLT exiting\""},
	{primary::kMwait, "\"MWAIT exiting\""},
	{primary::kMonitor, "\"MONITOR exiting\""},
	{primary::kRdpmc, "\"RDPMC exiting\""},
	{primary::kCr8Load, "\"CR8-load exiting\""},
	{primary::kCr8Store, "\"CR8-store exiting\""},
	{primary::kMovDr, "\"MOV-DR exiting\""},
	{primary::kUnconditionalIo, "\"unconditional I/O exiting\""},
	{primary::kTscOffsetting, "\"use TSC offsetting\""},
	{primary::kSecondary, "\"activate secondary controls\""},
};

constexpr NamedControl kRequiredSecondary[] = {
	{secondary::kEpt, "\"enable EPT\""},
	{secondary::kUnrestrictedGuest, "\"unrestricted guest\""},
};

constexpr NamedControl kRequiredExit[] = {
	{exit_control::kHostAddressSpaceSize, "\"host address-space size\""},
	{exit_control::kSaveDebugControls, "\"save debug controls\""},
	{exit_control::kLoadPat, "\"load IA32_PAT\""},
	{exit_control::kLoadEfer, "\"load IA32_EFER\""},
	{exit_control::kSaveEfer, "\"save IA32_EFER\""},
};

constexpr NamedControl kRequiredEntry[] = {
	{entry_control::kLoadDebugControls, "\"load debug controls\""},
	{entry_control::kLoadPat, "\"load IA32_PAT\""},
	{entry_control::kLoadEfer, "\"load IA32_EFER\""},
	{entry_control::kIa32eMode, "\"IA-32e mode guest\""},
};

inline bool choose_all_controls(bool true_msrs, bool rdtscp, VmxControls& controls)
{
	u32 allowed_entry = 0;
	bool ok = choose_controls(true_msrs ? msr::kVmxTruePinbased : msr::kVmxPinbased, "execution (pin-based)",
				  kRequiredPinBased, 0, controls.pin_based) &&
		  choose_controls(true_msrs ? msr::kVmxTrueProcbased : msr::kVmxProcbased, "execution (primary)",
				  kRequiredPrimary, 0, controls.primary) &&
		  choose_controls(msr::kVmxProcbased2, "execution (secondary)", kRequiredSecondary,
				  secondary::kWbinvd | secondary::kEnclsExiting | secondary::kRdrandExiting |
					  secondary::kRdseedExiting | (rdtscp ? secondary::kRdtscp : 0),
				  controls.secondary) &&
		  choose_controls(true_msrs ? msr::kVmxTrueExit : msr::kVmxExit, "exit", kRequiredExit, 0,
				  controls.vm_exit) &&
		  choose_controls(true_msrs ? msr::kVmxTrueEntry : msr::kVmxEntry, "entry", kRequiredEntry, 0,
				  allowed_entry);
	// The guest decides whether it is in IA-32e mode; it starts outside it.
	controls.vm_entry = allowed_entry & ~entry_control::kIa32eMode;
	return ok;
}

}  // namespace
