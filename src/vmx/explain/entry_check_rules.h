// SPDX-License-Identifier: GPL-2.0
// Building blocks of the VM-entry checks: a rule about one field, and the finding if the field breaks it.
#pragma once

#include "vmx/architecture.h"
#include "vmx/control_bits.h"
#include "vmx/explain/field_name.h"

namespace {

// A VMCS field that is known only at run time.
struct AnyField {
	template <u32 kEncoding>
	constexpr AnyField(vregcache::Field<kEncoding>) : encoding(kEncoding)
	{}
	explicit constexpr AnyField(u32 number) : encoding(number) {}

	u32 encoding;
};

// The bits of a control group that must be 1, and those that may be 1 (SDM Vol. 3D, A.3).
struct AllowedSettings {
	u32 must_be_1 = 0;
	u32 may_be_1 = 0;
};

// Facts about the processor that the checks need.
struct EntryFacts {
	AllowedSettings pin_based, primary, secondary, vm_exit, vm_entry;
	u64 cr0_fixed0 = 0, cr0_fixed1 = 0, cr4_fixed0 = 0, cr4_fixed1 = 0;
	u64 basic = 0;     // IA32_VMX_BASIC
	u64 misc = 0;      // IA32_VMX_MISC
	u64 ept_vpid = 0;  // IA32_VMX_EPT_VPID_CAP
	u32 physical_bits = 0;
	u32 linear_bits = 0;
	bool rtm = false;
	bool bus_lock_detection = false;
};

// The field that VM-entry found invalid.  Nothing was found if section is null.
struct EntryFinding {
	const char* section = nullptr;  // of SDM Vol. 3C
	u32 field = 0;
	u64 value = 0;
	const char* rule = nullptr;
	const char* operand_name = nullptr;  // what the operand is; null if the rule has none
	u64 operand = 0;

	bool found() const { return section != nullptr; }
};

// The fields are read through Reader: Result<u64> vmread(u32 encoding) const.
//
// A rule returns whether the field breaks it, and the first broken rule is the finding, so rules are chained with ||.
template <class Reader>
class EntryRules {
 public:
	EntryRules(const Reader& vmcs, const EntryFacts& facts) : vmcs_(vmcs), facts_(facts) {}

	const EntryFinding& finding() const { return finding_; }

 protected:
	// A field that cannot be read does not exist on this processor, so no check applies to it.
	u64 get(AnyField field) const { return vmcs_.vmread(field.encoding).value_or(0); }
	const EntryFacts& facts() const { return facts_; }

	// Sets the section of the rules that follow.
	void section(const char* number) { section_ = number; }

	// Some bits of the mask are 1, but all must be 0.
	bool has(AnyField field, u64 mask, const char* rule)
	{
		return (get(field) & mask) && found(field, rule, "mask", mask);
	}

	// Some bits of the mask are 0, but all must be 1.
	bool lacks(AnyField field, u64 mask, const char* rule)
	{
		return (mask & ~get(field)) && found(field, rule, "mask", mask);
	}

	bool differs(AnyField field, u64 expected, const char* rule)
	{
		return get(field) != expected && found(field, rule, "must be", expected);
	}

	bool exceeds(AnyField field, u64 limit, const char* rule)
	{
		return get(field) > limit && found(field, rule, "at most", limit);
	}

	// The rule is broken, and another field is involved.
	bool conflicts(AnyField field, const char* rule, AnyField other)
	{
		return found(field, rule, field_name(other.encoding), get(other));
	}

	bool breaks(AnyField field, const char* rule) { return found(field, rule, nullptr, 0); }

	// The bits that the allowed settings fix.
	bool not_allowed(AnyField field, AllowedSettings allowed)
	{
		return lacks(field, allowed.must_be_1, "some bits must be 1 on this processor") ||
		       has(field, ~u64{allowed.may_be_1}, "some bits must be 0 on this processor");
	}

	bool not_canonical(AnyField field)
	{
		return !is_canonical(get(field), facts_.linear_bits) &&
		       found(field, "it must be a canonical address", "linear-address bits", facts_.linear_bits);
	}

	// Weaker than canonical: the highest linear-address bit may differ from those above it.
	bool above_linear_differ(AnyField field)
	{
		const u64 above = get(field) >> facts_.linear_bits, all = ~u64{0} >> facts_.linear_bits;
		return above != 0 && above != all &&
		       found(field, "all bits above the linear-address width must be identical", "linear-address bits",
			     facts_.linear_bits);
	}

	u64 beyond_physical() const { return ~u64{0} << facts_.physical_bits; }

	bool beyond_physical(AnyField field)
	{
		return has(field, beyond_physical(), "it must be within the physical-address width");
	}

	bool not_a_page(AnyField field)
	{
		return has(field, 0xfff, "it must be the address of a page") || beyond_physical(field);
	}

	// Each byte of IA32_PAT is a memory type (SDM Vol. 3A, 12.12.2).
	bool not_a_pat(AnyField field)
	{
		u64 pat = get(field);
		for (u32 i = 0; i < 8; i++) {
			u64 type = pat >> 8 * i & 0xff;
			if (type > 7 || type == 2 || type == 3)
				return found(field, "each byte must be a memory type", "not one", type);
		}
		return false;
	}

 private:
	bool found(AnyField field, const char* rule, const char* operand_name, u64 operand)
	{
		finding_ = {section_, field.encoding, get(field), rule, operand_name, operand};
		return true;
	}

	const Reader& vmcs_;
	const EntryFacts& facts_;
	const char* section_ = nullptr;
	EntryFinding finding_;
};

// Makes the inherited rules visible in each part of the checks.
#define VRC_ENTRY_RULES(Reader)           \
	using Rules = EntryRules<Reader>; \
	using Rules::Rules;               \
	using Rules::above_linear_differ; \
	using Rules::beyond_physical;     \
	using Rules::breaks;              \
	using Rules::conflicts;           \
	using Rules::differs;             \
	using Rules::exceeds;             \
	using Rules::facts;               \
	using Rules::get;                 \
	using Rules::has;                 \
	using Rules::lacks;               \
	using Rules::not_a_page;          \
	using Rules::not_a_pat;           \
	using Rules::not_allowed;         \
	using Rules::not_canonical;       \
	using Rules::section

constexpr u64 kEferDefined = efer::kSce | efer::kLme | efer::kLma | efer::kNxe;
// VM-entry and VM-exit load neither, so neither is checked (SDM Vol. 3C, 27.2.2 and 27.3.1.1).
constexpr u64 kCr0Unchecked = cr0::kNw | cr0::kCd;

// The VM-entry interruption information (SDM Vol. 3C, 25.8.3).
namespace injected {
constexpr u32 kValid = 1u << 31, kErrorCode = 1u << 11, kReserved = 0x7ffff000;
constexpr u32 kExternalInterrupt = 0, kReservedType = 1, kNmi = 2, kHardwareException = 3, kSoftwareInterrupt = 4,
	      kOtherEvent = 7;
constexpr u32 vector(u64 word) { return word & 0xff; }
constexpr u32 type(u64 word) { return word >> 8 & 7; }
constexpr bool is(u64 word, u32 wanted) { return (word & kValid) && type(word) == wanted; }
constexpr bool is_software(u64 word) { return type(word) >= kSoftwareInterrupt && type(word) < kOtherEvent; }
}  // namespace injected

}  // namespace
