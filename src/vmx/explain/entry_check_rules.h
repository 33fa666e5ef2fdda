// SPDX-License-Identifier: GPL-2.0
// Building blocks of the VM-entry checks: a rule about one field, and the finding if the field breaks it.
#pragma once

#include "vmx/architecture.h"
#include "vmx/control_bits.h"
#include "vmx/explain/entry_check.h"
#include "vmx/interruption_information.h"

namespace {

// VM-entry and VM-exit load neither, so neither is checked (SDM Vol. 3C, 27.2.2 and 27.3.1.1).
constexpr u64 kCr0Unchecked = cr0::kNw | cr0::kCd;

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
	bool has(AnyField field, u64 mask, const char* rule);
	// Some bits of the mask are 0, but all must be 1.
	bool lacks(AnyField field, u64 mask, const char* rule);
	bool differs(AnyField field, u64 expected, const char* rule);
	bool exceeds(AnyField field, u64 limit, const char* rule);
	// The rule is broken, and another field is involved.
	bool conflicts(AnyField field, const char* rule, AnyField other);
	// The rule is broken.
	bool breaks(AnyField field, const char* rule) { return found(field, rule, nullptr, 0); }
	// The bits that the allowed settings fix.
	bool not_allowed(AnyField field, AllowedSettings allowed);
	bool not_canonical(AnyField field);
	// Weaker than canonical: the highest linear-address bit may differ from those above it.
	bool above_linear_differ(AnyField field);
	u64 beyond_physical() const { return ~u64{0} << facts_.physical_bits; }
	bool beyond_physical(AnyField field);
	bool not_a_page(AnyField field);
	bool not_a_pat(AnyField field);

 private:
	bool found(AnyField field, const char* rule, const char* operand_name, u64 operand);

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

}  // namespace
