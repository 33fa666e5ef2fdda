// SPDX-License-Identifier: GPL-2.0
// VMX capabilities of this CPU.  Each reason why the module cannot use VMX has its own errno and message.
#pragma once

#include "linux/host.h"
#include "vmx/controls.h"

namespace {

// Location of a component in the standard format of the XSAVE area, and whether the compacted format aligns it to 64 bytes (SDM
// Vol. 1, 13.4).
struct XsaveComponent {
	u32 offset = 0;
	u32 size = 0;
	bool aligned = false;
};

constexpr u32 kXsaveLegacyBytes = 512 + 64;  // including the header

struct CpuCapability {
	u32 revision = 0;
	VmxControls controls;
	u64 cr0_fixed0 = 0;
	u64 cr0_fixed1 = 0;
	u64 cr4_fixed0 = 0;
	u64 cr4_fixed1 = 0;
	u64 host_cr4_mce = 0;  // the kernel's CR4.MCE
	bool invept_single = false;
	u32 physical_bits = 36;  // MAXPHYADDR of this CPU
	u32 linear_bits = 48;    // of the widest supported paging mode
	bool gigabyte_pages = false;
	bool tsx_ctrl = false;  // IA32_TSX_CTRL exists
	u64 host_xcr0 = 0;
	u32 mxcsr_mask = 0;                       // bits that may be set in MXCSR
	XsaveComponent xsave_component[64] = {};  // CPUID is too slow to execute each time
	bool beside_kvm = false;                  // the owner of VMX operation is KVM
	vrc_cpu_facts facts = {};
	const char* likely_owner = nullptr;  // of VMX, if it is in use; looked up while sleeping is allowed
};

// Of the CPU that loads the module.  The others are assumed to be alike; VMXON fails on one that is not.
extern CpuCapability g_vmx;

// Fills g_vmx.
inline int detect_vmx(bool unsafe_allowed);

// Logs the likely owner of VMX, and returns -EBUSY.
inline int refuse_vmx_in_use();

}  // namespace
