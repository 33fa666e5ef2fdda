// SPDX-License-Identifier: GPL-2.0
// VMX capabilities of this CPU.
#include "vmx/capability.h"

namespace {

// EPT capabilities (SDM Vol. 3D, A.10)
constexpr u64 kEptPageWalk4 = 1u << 6, kEptWriteBack = 1u << 14, kInvept = 1u << 20, kInveptSingle = 1u << 25,
	      kInveptAll = 1u << 26;

// FXSAVE saves the mask, whichever task the registers belong to (SDM Vol. 1, 11.6.6).
inline u32 read_mxcsr_mask()
{
	constexpr u32 kOffset = 28, kWithoutMask = 0xffbf;
	alignas(16) u8 image[512] = {};
	fxsave(image);
	u32 mask;
	__builtin_memcpy(&mask, image + kOffset, sizeof(mask));
	return mask ? mask : kWithoutMask;
}

inline int check_cpu_has_vmx()
{
	constexpr u32 kCpuidVmx = 1u << 5;
	if (!(cpuid(1).ecx & kCpuidVmx)) {
		vrc_host_error("this CPU has no VMX: it is no Intel CPU, or a hypervisor hides VMX (needs nested "
			       "virtualisation, or vmx_on_svm in a QEMU guest)");
		return -ENODEV;
	}
	constexpr u64 kLocked = 1u << 0, kVmxOutsideSmx = 1u << 2;
	u64 feature_control = rdmsr(msr::kFeatureControl);
	if (!(feature_control & kLocked)) {
		vrc_host_error(
			"firmware left IA32_FEATURE_CONTROL unlocked with VMX disabled; enable VMX in its setup");
		return -EPERM;
	}
	if (!(feature_control & kVmxOutsideSmx)) {
		vrc_host_error(
			"firmware has disabled VMX and locked IA32_FEATURE_CONTROL (%#llx); enable VMX in its setup",
			feature_control);
		return -EPERM;
	}
	return 0;
}

inline int refuse_vmx_in_use()
{
	vrc_host_error("VMX is in use on CPU %u (CR4.VMXE is set), most likely by %s; unload it first", vrc_host_cpu(),
		       g_vmx.likely_owner ? g_vmx.likely_owner : "a hypervisor that is not a module");
	return -EBUSY;
}

inline int check_ept()
{
	u64 ept = rdmsr(msr::kVmxEptVpid);
	// clang-format off
	const char* absent = !(ept & kEptPageWalk4)			    ? "page walks of length 4"
			     : !(ept & kEptWriteBack)			    ? "write-back paging structures"
			     : !(ept & kInvept) || !(ept & kInveptAll) ? "INVEPT of all contexts"
									    : nullptr;
	// clang-format on
	if (absent) {
		vrc_host_error("EPT of this CPU lacks %s; the module cannot run here", absent);
		return -EOPNOTSUPP;
	}
	g_vmx.invept_single = ept & kInveptSingle;
	return 0;
}

inline int detect_vmx(bool unsafe_allowed)
{
	if (int error = check_cpu_has_vmx())
		return error;
	vrc_host_cpu_facts(&g_vmx.facts);
	g_vmx.likely_owner = vrc_host_vmx_owner();
	if (g_vmx.facts.fred) {
		vrc_host_error("the kernel uses FRED, which the module does not support; boot with fred=off");
		return -EOPNOTSUPP;
	}
	if (read_hardware_cr4() & cr4::kVmxe)
		return refuse_vmx_in_use();
	if (g_vmx.facts.open_mitigation) {
		if (!unsafe_allowed) {
			vrc_host_error("this CPU is affected by %s, which the module does not mitigate; load it with "
				       "unsafe=1 if its guests are trusted",
				       g_vmx.facts.open_mitigation);
			return -EACCES;
		}
		vrc_host_info("unsafe=1: guests may exploit %s on this CPU", g_vmx.facts.open_mitigation);
	}

	u64 basic = rdmsr(msr::kVmxBasic);
	constexpr u64 kInsOutsInformation = u64{1} << 54, kTrueControls = u64{1} << 55;
	g_vmx.revision = static_cast<u32>(basic) & 0x7fffffff;
	g_vmx.string_io_information = basic & kInsOutsInformation;
	if (!choose_all_controls(basic & kTrueControls, g_vmx.facts.rdtscp, g_vmx.controls))
		return -EOPNOTSUPP;
	if (int error = check_ept())
		return error;
	g_vmx.cr0_fixed0 = rdmsr(msr::kVmxCr0Fixed0);
	g_vmx.cr0_fixed1 = rdmsr(msr::kVmxCr0Fixed1);
	g_vmx.cr4_fixed0 = rdmsr(msr::kVmxCr4Fixed0);
	g_vmx.cr4_fixed1 = rdmsr(msr::kVmxCr4Fixed1);
	g_vmx.host_cr4_mce = read_hardware_cr4() & cr4::kMce;
	u32 highest_leaf = cpuid(0x80000000).eax;
	if (highest_leaf >= 0x80000001)
		g_vmx.gigabyte_pages = cpuid(0x80000001).edx & 1u << 26;
	if (highest_leaf >= 0x80000008) {
		const u32 sizes = cpuid(0x80000008).eax;
		g_vmx.physical_bits = sizes & 0xff;
		g_vmx.linear_bits = sizes >> 8 & 0xff;
	}
	g_vmx.mxcsr_mask = read_mxcsr_mask();
	if (g_vmx.facts.xsave) {
		g_vmx.host_xcr0 = xgetbv(0);
		for (u32 component = 2; component < 63; component++) {
			CpuidResult place = cpuid(0xd, component);
			g_vmx.xsave_component[component] = {place.ebx, place.eax, (place.ecx & 1u << 1) != 0};
		}
	}
	return 0;
}

}  // namespace
