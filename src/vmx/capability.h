// SPDX-License-Identifier: GPL-2.0
// What VMX offers on this machine, and the reasons why the module cannot use it, each with its own errno and message.
#pragma once

#include "linux/host.h"
#include "vmx/architecture.h"
#include "vmx/controls.h"
#include "vmx/cpu.h"

namespace {

// Where a component of the XSAVE area is in the standard format, and whether the compacted one aligns it to 64 bytes (SDM
// Vol. 1, 13.4).
struct XsaveComponent {
	u32 offset = 0;
	u32 size = 0;
	bool aligned = false;
};

constexpr u32 kXsaveLegacyBytes = 512 + 64;  // with the header

struct VmxCapability {
	u32 revision = 0;
	bool string_io_information = false;  // INS and OUTS exits fill the instruction information
	VmxControls controls;
	u64 cr0_fixed0 = 0;
	u64 cr0_fixed1 = 0;
	u64 cr4_fixed0 = 0;
	u64 cr4_fixed1 = 0;
	u64 host_cr4_mce = 0;  // CR4.MCE as the kernel has it
	bool invept_single = false;
	u32 physical_bits = 36;  // of this CPU's addresses, MAXPHYADDR
	u32 linear_bits = 48;    // of the widest paging mode that it supports
	bool gigabyte_pages = false;
	u64 host_xcr0 = 0;
	u32 mxcsr_mask = 0;                       // bits that MXCSR may have
	XsaveComponent xsave_component[64] = {};  // CPUID is too slow to ask each time
	vrc_cpu_facts facts = {};
	const char* likely_owner = nullptr;  // of VMX, where it is in use; looked up while sleeping is allowed
};

VmxCapability g_vmx;
inline int refuse_vmx_in_use();

// Fills g_vmx.  On the CPU that loads the module; the others are taken to be alike, and VMXON fails on one that is not.
inline int detect_vmx(bool unsafe_allowed);

}  // namespace
