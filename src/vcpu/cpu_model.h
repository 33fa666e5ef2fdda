// SPDX-License-Identifier: GPL-2.0
// The registers and bits that the guest's CPUID announces.  Derived from the table once for each KVM_SET_CPUID2 (cpuid.h), so
// that no register access has to search the table.
#pragma once

#include "vmx/types.h"

namespace {

struct CpuModel {
	u64 cr4 = 0;   // bits that MOV to CR4 accepts
	u64 efer = 0;  // bits that WRMSR of IA32_EFER accepts, and LMA; zero: no such MSR
	u64 xcr0 = 0;  // bits that XSETBV accepts
	u32 physical_bits = 36;
	u64 beyond_physical = ~u64{0} << 36;  // address bits that are reserved in registers and paging structures
	u32 linear_bits = 48;                 // of the widest paging mode that it supports
	// Its MAXPHYADDR is smaller than the one that the module offers.  The CPU would accept CR3 values that the guest's CPU
	// must refuse, so MOV to CR3 exits.
	bool checks_cr3 = false;
	// Bits that CR3 may have.  Without the exit the CPU decides, and it may accept more than is offered.
	u64 cr3 = 0;
	bool rdtscp = false;  // RDTSCP or RDPID
	bool rdrand = false;
	bool rdseed = false;
	bool tsc = false;
	bool sysenter = false;
	bool pat = false;
	bool long_mode = false;
	bool has_every_msr = false;  // every MSR that the module knows
};

}  // namespace
