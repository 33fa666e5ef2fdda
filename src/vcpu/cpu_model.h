// SPDX-License-Identifier: GPL-2.0
// What the guest's CPUID makes of its CPU: which bits and registers there are.  Derived from the table once for each
// KVM_SET_CPUID2 (cpuid.h), so that nothing looks through the table when a guest uses a register.
#pragma once

#include "../vmx/types.h"

namespace {

struct CpuModel {
	u64 cr4 = 0;   // bits that MOV to CR4 takes
	u64 efer = 0;  // bits that WRMSR of IA32_EFER takes, and LMA; none: there is no such MSR
	u64 xcr0 = 0;  // bits that XSETBV takes
	u32 physical_bits = 36;
	u32 linear_bits = 48;  // the widest that its paging modes have, whatever is in force
	// Its physical addresses are narrower than the module offers, so the CPU itself would take a CR3 that the guest's
	// does not: its loads exit.
	bool checks_cr3 = false;
	bool rdtscp = false;  // RDTSCP or RDPID
	bool rdrand = false;
	bool rdseed = false;
	bool tsc = false;
	bool sysenter = false;
	bool pat = false;
	bool long_mode = false;
	bool has_every_msr = false;  // that the module knows

	// Address bits that no register and no paging structure may have.
	u64 beyond_physical() const { return ~u64{0} << physical_bits; }
};

}  // namespace
