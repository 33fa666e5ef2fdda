// SPDX-License-Identifier: GPL-2.0
// VMX capabilities of this CPU.
#include "vmx/capability.h"

// The uAPI's numbers, as all C++ of the module returns them.
#include <asm/errno.h>

#include "vmx/architecture.h"
#include "vmx/cpu.h"

namespace {

CpuCapability g_vmx;

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
		vrc_host_error("this CPU has no VMX: it is not an Intel CPU, or a hypervisor hides VMX; enable nested "
			       "virtualization, or load vmx_on_svm in a QEMU guest");
		return -ENODEV;
	}
	constexpr u64 kLocked = 1u << 0, kVmxOutsideSmx = 1u << 2;
	u64 feature_control = rdmsr(msr::kFeatureControl);
	if (!(feature_control & kLocked)) {
		vrc_host_error(
			"the firmware has not enabled VMX (IA32_FEATURE_CONTROL is unlocked); enable VMX in the firmware setup");
		return -EPERM;
	}
	if (!(feature_control & kVmxOutsideSmx)) {
		vrc_host_error(
			"the firmware has disabled VMX (IA32_FEATURE_CONTROL is locked, %#llx); enable VMX in the firmware setup",
			feature_control);
		return -EPERM;
	}
	return 0;
}

inline int refuse_vmx_in_use()
{
	vrc_host_error("VMX is in use on CPU %u (CR4.VMXE is set), most likely by %s; unload or stop it first",
		       vrc_host_cpu(), g_vmx.likely_owner ? g_vmx.likely_owner : "a hypervisor that is not a module");
	return -EBUSY;
}

inline int check_ept()
{
	u64 ept = rdmsr(msr::kVmxEptVpid);
	constexpr u64 kInveptOfAll = ept_capability::kInvept | ept_capability::kInveptAll;
	const char* absent = !(ept & ept_capability::kPageWalk4)    ? "page walks of length 4"
			     : !(ept & ept_capability::kWriteBack)  ? "write-back paging structures"
			     : (ept & kInveptOfAll) != kInveptOfAll ? "all-context INVEPT"
								    : nullptr;
	if (absent) {
		vrc_host_error("this CPU's EPT does not support %s, which the module needs", absent);
		return -EOPNOTSUPP;
	}
	g_vmx.invept_single = ept & ept_capability::kInveptSingle;
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
	if (!g_vmx.beside_kvm && (read_hardware_cr4() & cr4::kVmxe))
		return refuse_vmx_in_use();
	if (g_vmx.facts.open_mitigation) {
		if (!unsafe_allowed) {
			vrc_host_error("this CPU is affected by %s, which the module does not mitigate; load it with "
				       "unsafe=1 if you trust its guests",
				       g_vmx.facts.open_mitigation);
			return -EACCES;
		}
		vrc_host_info("unsafe=1: guests may exploit %s on this CPU", g_vmx.facts.open_mitigation);
	}

	u64 basic = rdmsr(msr::kVmxBasic);
	g_vmx.revision = static_cast<u32>(basic) & 0x7fffffff;
	if (!choose_all_controls(basic & vmx_basic::kTrueControls, g_vmx.facts.rdtscp, g_vmx.controls))
		return -EOPNOTSUPP;
	if (int error = check_ept())
		return error;
	g_vmx.cr0_fixed0 = rdmsr(msr::kVmxCr0Fixed0);
	g_vmx.cr0_fixed1 = rdmsr(msr::kVmxCr0Fixed1);
	g_vmx.cr4_fixed0 = rdmsr(msr::kVmxCr4Fixed0);
	g_vmx.cr4_fixed1 = rdmsr(msr::kVmxCr4Fixed1);
	g_vmx.host_cr4_mce = read_hardware_cr4() & cr4::kMce;
	constexpr u32 kCpuidArchCapabilities = 1u << 29, kTsxCtrlExists = 1u << 7;
	if (cpuid(0).eax >= 7 && (cpuid(7).edx & kCpuidArchCapabilities))
		g_vmx.tsx_ctrl = rdmsr(msr::kArchCapabilities) & kTsxCtrlExists;
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
