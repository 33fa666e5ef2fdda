// SPDX-License-Identifier: GPL-2.0
// CPUID: what the module can offer of this CPU, what userspace chose of it, and what the guest reads.
#pragma once

#include "vcpu.h"

namespace {

namespace cpuid_bit {
// leaf 1
constexpr u32 kXsave = 1u << 26, kOsxsave = 1u << 27, kHypervisor = 1u << 31;
// leaf 7
constexpr u32 kFsgsbase = 1u << 0, kSmep = 1u << 7, kSmap = 1u << 20;
constexpr u32 kUmip = 1u << 2, kPku = 1u << 3, kOspke = 1u << 4, kLa57 = 1u << 16;
// leaf 0x80000001
constexpr u32 kNx = 1u << 20, kRdtscp = 1u << 27, kLongMode = 1u << 29;
}  // namespace cpuid_bit

constexpr u32 kHypervisorLeaf = 0x40000000;

// XCR0 bits that a guest may set: those whose state is saved with the guest's.
inline u64 supported_xcr0()
{
	u64 bits = xcr0::kX87 | xcr0::kSse | xcr0::kAvx | xcr0::kAvx512;
	if (g_vmx.facts.pku)
		bits |= xcr0::kPkru;
	return bits & g_vmx.host_xcr0 & g_vmx.facts.fpu_features;
}

inline void keep_feature_bits(u32 leaf, u32 subleaf, CpuidResult& r)
{
	const u64 xcr0 = supported_xcr0();
	const bool avx = xcr0 & xcr0::kAvx;
	const bool avx512 = (xcr0 & xcr0::kAvx512) == xcr0::kAvx512;
	switch (leaf) {
	case 1:
		// SSE3 PCLMULQDQ SSSE3 CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES RDRAND
		r.ecx &= 1u << 0 | 1u << 1 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 25 |
			 1u << 30 | (g_vmx.facts.xsave ? cpuid_bit::kXsave : 0) |
			 (avx ? 1u << 12 | 1u << 28 | 1u << 29 : 0);  // FMA AVX F16C
		r.ecx |= cpuid_bit::kHypervisor;
		// FPU VME DE PSE TSC MSR PAE MCE CX8 SEP PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2
		r.edx &= 0x1ff | 1u << 11 | 1u << 13 | 1u << 15 | 1u << 16 | 1u << 17 | 1u << 19 | 1u << 23 | 1u << 24 |
			 1u << 25 | 1u << 26;
		// One logical processor with APIC ID 0; the vCPU's own number comes in when the guest asks.
		r.ebx = (r.ebx & 0xff00) | 1u << 16;
		break;
	case 7:
		if (subleaf) {
			r = {};
			break;
		}
		r.eax = 0;
		// FSGSBASE BMI1 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT CLWB SHA; AVX2; AVX-512 F DQ CD BW VL
		r.ebx &= cpuid_bit::kFsgsbase | 1u << 3 | cpuid_bit::kSmep | 1u << 8 | 1u << 9 | 1u << 18 | 1u << 19 |
			 cpuid_bit::kSmap | 1u << 23 | 1u << 24 | 1u << 29 | (avx ? 1u << 5 : 0) |
			 (avx512 ? 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31 : 0);
		r.ecx &= (g_vmx.cr4_fixed1 & cr4::kUmip ? cpuid_bit::kUmip : 0) |
			 (g_vmx.cr4_fixed1 & cr4::kLa57 ? cpuid_bit::kLa57 : 0) |
			 ((xcr0 & xcr0::kPkru) && (g_vmx.cr4_fixed1 & cr4::kPke) ? cpuid_bit::kPku : 0);
		r.edx = 0;
		break;
	case 0xd:
		if (subleaf == 0) {
			r.eax = static_cast<u32>(xcr0);
			r.edx = static_cast<u32>(xcr0 >> 32);
		} else if (subleaf == 1) {
			r = {r.eax & 7, 0, 0, 0};  // XSAVEOPT XSAVEC XGETBV1; no XSAVES, no IA32_XSS
		} else if (subleaf >= 64 || !(xcr0 >> subleaf & 1)) {
			r = {};
		}
		break;
	case 0x80000001:
		r.ecx &= 1u << 0 | 1u << 5 | 1u << 8;  // LAHF64 LZCNT PREFETCHW
		r.edx &= 1u << 11 | cpuid_bit::kNx | 1u << 26 |
			 (g_vmx.controls.secondary & secondary::kRdtscp ? cpuid_bit::kRdtscp : 0) |
			 cpuid_bit::kLongMode;
		break;
	case 0x80000008:
		// Four levels of EPT translate 48 bits.  The rest of the leaf describes the host's packages and mitigations.
		if ((r.eax & 0xff) > kGuestPhysicalBits)
			r.eax = (r.eax & ~0xffu) | kGuestPhysicalBits;
		r = {r.eax & 0xffff, 0, 0, 0};
		break;
	default:
		break;
	}
}

// Fills @entries with what the module supports, @limit of them at most; returns how many there are.
inline u32 supported_cpuid(kvm_cpuid_entry2* entries, u32 limit)
{
	u32 count = 0;
	auto put = [&](u32 leaf, u32 subleaf, bool indexed, const CpuidResult& r) {
		if (count < limit) {
			entries[count] = {};
			entries[count].function = leaf;
			entries[count].index = subleaf;
			entries[count].flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
			entries[count].eax = r.eax;
			entries[count].ebx = r.ebx;
			entries[count].ecx = r.ecx;
			entries[count].edx = r.edx;
		}
		count++;
	};
	auto put_host = [&](u32 leaf, u32 subleaf, bool indexed) {
		CpuidResult r = cpuid(leaf, subleaf);
		keep_feature_bits(leaf, subleaf, r);
		put(leaf, subleaf, indexed, r);
	};
	CpuidResult highest = cpuid(0);
	highest.eax = highest.eax > 0xd ? 0xd : highest.eax;
	put(0, 0, false, highest);
	put_host(1, 0, false);
	if (highest.eax >= 7)
		put_host(7, 0, true);
	if (highest.eax >= 0xd && g_vmx.facts.xsave) {
		for (u32 subleaf = 0; subleaf < 64; subleaf++) {
			if (subleaf < 2 || (supported_xcr0() >> subleaf & 1))
				put_host(0xd, subleaf, true);
		}
	}
	// "vregcache", as guests look for a hypervisor's name.
	put(kHypervisorLeaf, 0, false, {kHypervisorLeaf, 0x67657276, 0x68636163, 0x00000065});
	CpuidResult extended = cpuid(0x80000000);
	extended.eax = extended.eax > 0x80000008 ? 0x80000008 : extended.eax;
	put(0x80000000, 0, false, extended);
	for (u32 leaf = 0x80000001; leaf <= extended.eax; leaf++) {
		if (leaf != 0x80000005 && leaf != 0x80000006 && leaf != 0x80000007)
			put_host(leaf, 0, false);
	}
	return count;
}

// What the guest reads, less what depends on its state.  A leaf that is not there reads as zero.
inline CpuidResult guest_cpuid(const Vcpu& vcpu, u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < vcpu.cpuid_count; i++) {
		const kvm_cpuid_entry2& entry = vcpu.cpuid[i];
		if (entry.function != leaf)
			continue;
		if ((entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && entry.index != subleaf)
			continue;
		return {entry.eax, entry.ebx, entry.ecx, entry.edx};
	}
	return {};
}

// The widest linear addresses that the guest's CPU knows, whatever paging is in force: what MSRs, debug registers and
// descriptor tables are checked against.
inline u32 linear_address_bits(const Vcpu& vcpu)
{
	return (g_vmx.cr4_fixed1 & cr4::kLa57) && (guest_cpuid(vcpu, 7, 0).ecx & cpuid_bit::kLa57) ? 57 : 48;
}

// The size of the XSAVE area for the components in @features (SDM Vol. 1, 13.4.3).
inline u32 xsave_size(u64 features)
{
	u32 size = 512 + 64;
	for (u32 component = 2; component < 63; component++) {
		if (!(features >> component & 1))
			continue;
		if (g_vmx.xsave_end[component] > size)
			size = g_vmx.xsave_end[component];
	}
	return size;
}

// CPUID as the guest executes it, with the bits that mirror its own state.
inline Result<CpuidResult> execute_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs, u32 leaf, u32 subleaf)
{
	CpuidResult r = guest_cpuid(vcpu, leaf, subleaf);
	u64 control = VREGCACHE_TRY((host_owned_cr4<cr4::kOsxsave | cr4::kPke>(vcpu, vmcs)));
	if (leaf == 1) {
		r.ebx = (r.ebx & 0x00ffffff) | vcpu.id << 24;
		r.ecx = (r.ecx & ~cpuid_bit::kOsxsave) | (control & cr4::kOsxsave ? cpuid_bit::kOsxsave : 0);
	} else if (leaf == 7 && subleaf == 0) {
		r.ecx = (r.ecx & ~cpuid_bit::kOspke) | (control & cr4::kPke ? cpuid_bit::kOspke : 0);
	} else if (leaf == 0xd && subleaf == 0) {
		r.ebx = xsave_size(vcpu.entry.xcr0);
		r.ecx = xsave_size(supported_xcr0());
	}
	return r;
}

}  // namespace
