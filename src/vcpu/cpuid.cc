// SPDX-License-Identifier: GPL-2.0
// What the module can offer on this CPU, what userspace chose, and what the guest reads.
#include "vcpu/cpuid.h"
#include "vcpu/guest_state.h"

namespace {

namespace cpuid_bit {
// leaf 1, ECX
constexpr u32 kXsave = 1u << 26, kOsxsave = 1u << 27, kRdrand = 1u << 30, kHypervisor = 1u << 31;
// leaf 1, EDX
constexpr u32 kVme = 1u << 1, kDe = 1u << 2, kPse = 1u << 3, kTsc = 1u << 4, kPae = 1u << 6, kMce = 1u << 7,
	      kApic = 1u << 9, kSep = 1u << 11, kPge = 1u << 13, kPat = 1u << 16, kFxsr = 1u << 24, kSse = 1u << 25;
// leaf 7, EBX
constexpr u32 kFsgsbase = 1u << 0, kSmep = 1u << 7, kRdseed = 1u << 18, kSmap = 1u << 20;
// leaf 7, ECX
constexpr u32 kUmip = 1u << 2, kPku = 1u << 3, kOspke = 1u << 4, kLa57 = 1u << 16, kRdpid = 1u << 22;
// leaf 0xd, subleaf 1, EAX
constexpr u32 kXsavec = 1u << 1, kXsaves = 1u << 3;
// leaf 0x80000001, EDX
constexpr u32 kSyscall = 1u << 11, kNx = 1u << 20, kRdtscp = 1u << 27, kLongMode = 1u << 29;
}  // namespace cpuid_bit

constexpr u32 kHypervisorLeaf = 0x40000000, kExtendedLeaf = 0x80000000, kAddressSizesLeaf = 0x80000008;
constexpr u32 kXsaveLeaf = 0xd;

// Four levels of EPT translate 48 bits.
inline u32 offered_physical_bits()
{
	return g_vmx.physical_bits < kGuestPhysicalBits ? g_vmx.physical_bits : kGuestPhysicalBits;
}

// XCR0 bits that a guest may set: those whose state is saved with the guest's.
inline u64 supported_xcr0()
{
	u64 bits = xcr0::kX87 | xcr0::kSse | xcr0::kAvx | xcr0::kAvx512;
	if (g_vmx.facts.pku)
		bits |= xcr0::kPkru;
	return bits & g_vmx.host_xcr0 & g_vmx.facts.fpu_features;
}

// The size of the XSAVE area for the components in @features, in its standard format (SDM Vol. 1, 13.4.3).
inline u32 xsave_size(u64 features)
{
	u32 size = kXsaveLegacyBytes;
	for (u32 component = 2; component < 63; component++) {
		const XsaveComponent& place = g_vmx.xsave_component[component];
		if ((features >> component & 1) && place.offset + place.size > size)
			size = place.offset + place.size;
	}
	return size;
}

// The same in the compacted format (SDM Vol. 1, 13.4.3).
inline u32 compacted_xsave_size(u64 features)
{
	u32 size = kXsaveLegacyBytes;
	for (u32 component = 2; component < 63; component++) {
		const XsaveComponent& place = g_vmx.xsave_component[component];
		if (!(features >> component & 1))
			continue;
		if (place.aligned)
			size = (size + 63) & ~63u;
		size += place.size;
	}
	return size;
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
		// One logical processor with APIC ID 0.
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
	case kXsaveLeaf:
		if (subleaf == 0) {
			r = {static_cast<u32>(xcr0), xsave_size(xcr0), xsave_size(xcr0), static_cast<u32>(xcr0 >> 32)};
		} else if (subleaf == 1) {
			// XSAVEOPT XSAVEC XGETBV1; no XSAVES, no IA32_XSS
			r = {r.eax & 7, r.eax & cpuid_bit::kXsavec ? compacted_xsave_size(xcr0) : 0, 0, 0};
		} else if (subleaf >= 64 || !(xcr0 >> subleaf & 1)) {
			r = {};
		}
		break;
	case kExtendedLeaf + 1:
		r.ecx &= 1u << 0 | 1u << 5 | 1u << 8;  // LAHF64 LZCNT PREFETCHW
		r.edx &= 1u << 11 | cpuid_bit::kNx | 1u << 26 |
			 (g_vmx.controls.secondary & secondary::kRdtscp ? cpuid_bit::kRdtscp : 0) |
			 cpuid_bit::kLongMode;
		break;
	case kAddressSizesLeaf:
		// The rest of the leaf describes the host's packages and mitigations.
		r = {(r.eax & 0xff00) | offered_physical_bits(), 0, 0, 0};
		break;
	default:
		break;
	}
}

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
	highest.eax = highest.eax > kXsaveLeaf ? kXsaveLeaf : highest.eax;
	put(0, 0, false, highest);
	put_host(1, 0, false);
	if (highest.eax >= 7)
		put_host(7, 0, true);
	if (highest.eax >= kXsaveLeaf && g_vmx.facts.xsave) {
		for (u32 subleaf = 0; subleaf < 64; subleaf++) {
			if (subleaf < 2 || (supported_xcr0() >> subleaf & 1))
				put_host(kXsaveLeaf, subleaf, true);
		}
	}
	// The hypervisor name that guests look for: "vregcache".
	put(kHypervisorLeaf, 0, false, {kHypervisorLeaf, 0x67657276, 0x68636163, 0x00000065});
	CpuidResult extended = cpuid(kExtendedLeaf);
	extended.eax = extended.eax > kAddressSizesLeaf ? kAddressSizesLeaf : extended.eax;
	put(kExtendedLeaf, 0, false, extended);
	for (u32 leaf = kExtendedLeaf + 1; leaf <= extended.eax; leaf++) {
		if (leaf != 0x80000005 && leaf != 0x80000006 && leaf != 0x80000007)
			put_host(leaf, 0, false);
	}
	return count;
}

// The entry that userspace has set, or null.
inline const kvm_cpuid_entry2* find_cpuid(const Vcpu& vcpu, u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < vcpu.cpuid_count; i++) {
		const kvm_cpuid_entry2& entry = vcpu.cpuid[i];
		if (entry.function != leaf)
			continue;
		if ((entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && entry.index != subleaf)
			continue;
		return &entry;
	}
	return nullptr;
}

// The leaf that userspace has set; zero if there is no entry.
inline CpuidResult set_cpuid_leaf(const Vcpu& vcpu, u32 leaf, u32 subleaf)
{
	const kvm_cpuid_entry2* entry = find_cpuid(vcpu, leaf, subleaf);
	return entry ? registers_of(*entry) : CpuidResult{};
}

inline CpuModel model_of_cpuid(const Vcpu& vcpu)
{
	using namespace cpuid_bit;
	const CpuidResult features = set_cpuid_leaf(vcpu, 1, 0);
	const CpuidResult structured = set_cpuid_leaf(vcpu, 7, 0);
	const CpuidResult extended = set_cpuid_leaf(vcpu, kExtendedLeaf + 1, 0);
	const CpuidResult xsave = set_cpuid_leaf(vcpu, kXsaveLeaf, 0);
	auto if_set = [](u32 word, u32 bit, u64 bits) { return word & bit ? bits : 0; };

	CpuModel model;
	model.cr4 = cr4::kPce | if_set(features.edx, kVme, cr4::kVme | cr4::kPvi) |
		    if_set(features.edx, kDe, cr4::kDe) | if_set(features.edx, kPse, cr4::kPse) |
		    if_set(features.edx, kTsc, cr4::kTsd) | if_set(features.edx, kPae, cr4::kPae) |
		    if_set(features.edx, kMce, cr4::kMce) | if_set(features.edx, kPge, cr4::kPge) |
		    if_set(features.edx, kFxsr, cr4::kOsfxsr) | if_set(features.edx, kSse, cr4::kOsxmmexcpt) |
		    if_set(features.ecx, kXsave, cr4::kOsxsave) | if_set(structured.ebx, kFsgsbase, cr4::kFsgsbase) |
		    if_set(structured.ebx, kSmep, cr4::kSmep) | if_set(structured.ebx, kSmap, cr4::kSmap) |
		    if_set(structured.ecx, kUmip, cr4::kUmip) | if_set(structured.ecx, kPku, cr4::kPke) |
		    if_set(structured.ecx, kLa57, cr4::kLa57);
	model.cr4 &= g_vmx.cr4_fixed1;
	// Where the host does not use protection keys, a guest's PKRU is not switched.
	if (!g_vmx.facts.pku)
		model.cr4 &= ~cr4::kPke;
	model.efer = if_set(extended.edx, kSyscall | kLongMode, efer::kSce) |
		     if_set(extended.edx, kLongMode, efer::kLme | efer::kLma) | if_set(extended.edx, kNx, efer::kNxe);
	model.xcr0 = xcr0::kX87 | ((xsave.eax | u64{xsave.edx} << 32) & supported_xcr0());

	// Without the leaf, the width is 36 (SDM Vol. 3A, 4.1.4).
	u32 width = set_cpuid_leaf(vcpu, kAddressSizesLeaf, 0).eax & 0xff;
	width = !width ? 36 : width < 32 ? 32 : width;
	model.physical_bits = width < g_vmx.physical_bits ? width : g_vmx.physical_bits;
	model.beyond_physical = ~u64{0} << model.physical_bits;
	model.checks_cr3 = model.physical_bits < offered_physical_bits();
	model.cr3 = ~(~u64{0} << (model.checks_cr3 ? model.physical_bits : g_vmx.physical_bits));
	model.linear_bits = model.cr4 & cr4::kLa57 ? 57 : 48;

	model.rdtscp = (extended.edx & kRdtscp) || (structured.ecx & kRdpid);
	model.rdrand = features.ecx & kRdrand;
	model.rdseed = structured.ebx & kRdseed;
	model.tsc = features.edx & kTsc;
	model.sysenter = features.edx & kSep;
	model.pat = features.edx & kPat;
	model.long_mode = extended.edx & kLongMode;
	model.has_every_msr = model.rdtscp && model.tsc && model.sysenter && model.pat && model.long_mode;
	return model;
}

inline void set_default_cpuid(Vcpu& vcpu)
{
	vcpu.cpuid_count = supported_cpuid(vcpu.cpuid, kCpuidLimit);
	for (u32 i = 0; i < vcpu.cpuid_count; i++) {
		if (vcpu.cpuid[i].function == 1)
			vcpu.cpuid[i].ebx |= vcpu.id << 24;  // APIC ID
	}
	vcpu.model = model_of_cpuid(vcpu);
}

inline Result<void> apply_cpu_model(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	u32 secondary = g_vmx.controls.secondary;
	if (!vcpu.model.rdtscp)
		secondary &= ~secondary::kRdtscp;
	if (vcpu.model.rdrand)
		secondary &= ~secondary::kRdrandExiting;
	if (vcpu.model.rdseed)
		secondary &= ~secondary::kRdseedExiting;
	VREGCACHE_TRY(vcpu.controls.secondary.set(vmcs, secondary));
	u32 primary = vcpu.controls.primary.value() & ~primary::kCr3Load;
	primary |= (g_vmx.controls.primary & primary::kCr3Load) | (vcpu.model.checks_cr3 ? primary::kCr3Load : 0);
	VREGCACHE_TRY(vcpu.controls.primary.set(vmcs, primary));
	return vcpu.controls.cr4_mask.set(vmcs, GuestCr4::guest_host_mask(cr4_share(vcpu)));
}

// AuthenticAMD and HygonGenuine, by EBX of leaf 0.
inline bool is_amd_or_hygon(const kvm_cpuid_entry2& leaf0)
{
	return leaf0.ebx == 0x68747541 || leaf0.ebx == 0x6f677948;
}

// A leaf above the highest of its range reads like the highest basic leaf (SDM Vol. 2A, CPUID); on AMD and Hygon
// processors it reads as zero.
inline const kvm_cpuid_entry2* find_cpuid_out_of_range(const Vcpu& vcpu, u32 leaf, u32 subleaf)
{
	const u32 first = leaf >= kExtendedLeaf ? kExtendedLeaf : leaf >= kHypervisorLeaf ? leaf & 0xffffff00 : 0;
	const kvm_cpuid_entry2* range = find_cpuid(vcpu, first, 0);
	const kvm_cpuid_entry2* basic = find_cpuid(vcpu, 0, 0);
	if (!basic || is_amd_or_hygon(*basic) || (range && leaf <= range->eax))
		return nullptr;
	return find_cpuid(vcpu, basic->eax, subleaf);
}

inline void follow_state(const Vcpu& vcpu, u64 control, u32 leaf, u32 subleaf, CpuidResult& r)
{
	if (leaf == 1) {
		r.ecx = (r.ecx & ~cpuid_bit::kOsxsave) | (control & cr4::kOsxsave ? cpuid_bit::kOsxsave : 0);
		if (!(vcpu.apic_base & apic_base::kEnabled))
			r.edx &= ~cpuid_bit::kApic;
	} else if (leaf == 7 && subleaf == 0) {
		r.ecx = (r.ecx & ~cpuid_bit::kOspke) | (control & cr4::kPke ? cpuid_bit::kOspke : 0);
	} else if (leaf == kXsaveLeaf && subleaf == 0) {
		r.ebx = xsave_size(vcpu.entry_switch.xcr0);
	} else if (leaf == kXsaveLeaf && subleaf == 1) {
		// IA32_XSS is zero.
		if (r.eax & (cpuid_bit::kXsavec | cpuid_bit::kXsaves))
			r.ebx = compacted_xsave_size(vcpu.entry_switch.xcr0);
	}
}

// Processor topology leaves: a subleaf without an entry returns its own number in ECX[7:0] and the x2APIC ID in EDX (SDM
// Vol. 2A, CPUID).
inline bool is_topology_leaf(u32 leaf) { return leaf == 0xb || leaf == 0x1f; }

VREGCACHE_COLD CpuidResult cpuid_without_entry(const Vcpu& vcpu, u64 control, u32 leaf, u32 subleaf)
{
	if (const kvm_cpuid_entry2* entry = find_cpuid_out_of_range(vcpu, leaf, subleaf)) {
		CpuidResult r = registers_of(*entry);
		follow_state(vcpu, control, entry->function, subleaf, r);
		return r;
	}
	if (is_topology_leaf(leaf)) {
		if (const kvm_cpuid_entry2* level = find_cpuid(vcpu, leaf, 0))
			return {0, 0, subleaf & 0xff, level->edx};
	}
	return {};
}

inline Result<CpuidResult> execute_cpuid(Vcpu& vcpu, const LoadedVmcs& vmcs, u32 leaf, u32 subleaf)
{
	u64 control = VREGCACHE_TRY((host_owned_cr4<cr4::kOsxsave | cr4::kPke>(vcpu, vmcs)));
	const kvm_cpuid_entry2* entry = find_cpuid(vcpu, leaf, subleaf);
	if (!entry) [[unlikely]]
		return cpuid_without_entry(vcpu, control, leaf, subleaf);
	CpuidResult r = registers_of(*entry);
	follow_state(vcpu, control, leaf, subleaf, r);
	return r;
}

}  // namespace
