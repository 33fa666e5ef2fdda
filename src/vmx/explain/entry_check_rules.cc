// SPDX-License-Identifier: GPL-2.0
// Building blocks of the VM-entry checks.
#include "vmx/explain/entry_check_rules.h"

#include "vmx/explain/field_name.h"

namespace {

template <class Reader>
bool EntryRules<Reader>::has(AnyField field, u64 mask, const char* rule)
{
	return (get(field) & mask) && found(field, rule, "mask", mask);
}

template <class Reader>
bool EntryRules<Reader>::lacks(AnyField field, u64 mask, const char* rule)
{
	return (mask & ~get(field)) && found(field, rule, "mask", mask);
}

template <class Reader>
bool EntryRules<Reader>::differs(AnyField field, u64 expected, const char* rule)
{
	return get(field) != expected && found(field, rule, "must be", expected);
}

template <class Reader>
bool EntryRules<Reader>::exceeds(AnyField field, u64 limit, const char* rule)
{
	return get(field) > limit && found(field, rule, "at most", limit);
}

template <class Reader>
bool EntryRules<Reader>::conflicts(AnyField field, const char* rule, AnyField other)
{
	return found(field, rule, field_name(other.encoding), get(other));
}

template <class Reader>
bool EntryRules<Reader>::not_allowed(AnyField field, AllowedSettings allowed)
{
	return lacks(field, allowed.must_be_1, "some bits must be 1 on this processor") ||
	       has(field, ~u64{allowed.may_be_1}, "some bits must be 0 on this processor");
}

template <class Reader>
bool EntryRules<Reader>::not_canonical(AnyField field)
{
	return !is_canonical(get(field), facts_.linear_bits) &&
	       found(field, "it must be a canonical address", "linear-address bits", facts_.linear_bits);
}

template <class Reader>
bool EntryRules<Reader>::above_linear_differ(AnyField field)
{
	const u64 above = get(field) >> facts_.linear_bits, all = ~u64{0} >> facts_.linear_bits;
	return above != 0 && above != all &&
	       found(field, "all bits above the linear-address width must be identical", "linear-address bits",
		     facts_.linear_bits);
}

template <class Reader>
bool EntryRules<Reader>::beyond_physical(AnyField field)
{
	return has(field, beyond_physical(), "it must be within the physical-address width");
}

template <class Reader>
bool EntryRules<Reader>::not_a_page(AnyField field)
{
	return has(field, 0xfff, "it must be the address of a page") || beyond_physical(field);
}

template <class Reader>
bool EntryRules<Reader>::not_a_pat(AnyField field)
{
	u64 pat = get(field);
	for (u32 i = 0; i < 8; i++) {
		u64 type = pat >> 8 * i & 0xff;
		if (!is_pat_memory_type(type))
			return found(field, "each byte must be a memory type", "invalid byte", type);
	}
	return false;
}

template <class Reader>
bool EntryRules<Reader>::found(AnyField field, const char* rule, const char* operand_name, u64 operand)
{
	finding_ = {section_, field.encoding, get(field), rule, operand_name, operand};
	return true;
}

}  // namespace
