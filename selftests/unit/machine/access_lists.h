// SPDX-License-Identifier: GPL-2.0
// The fields to be read and written, and how often: a test states the list, so that an extra or missing access is
// reported by field.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../model_vmcs.h"

namespace vregcache::test {

struct NamedField {
	template <class Field>
		requires requires { Field::kEncoding; }
	NamedField(Field) : encoding(Field::kEncoding)
	{}

	u32 encoding;
};

struct AccessList {
	std::vector<NamedField> reads;
	std::vector<NamedField> writes;

	AccessList& also_reads(std::initializer_list<NamedField> more)
	{
		reads.insert(reads.end(), more);
		return *this;
	}
	AccessList& also_writes(std::initializer_list<NamedField> more)
	{
		writes.insert(writes.end(), more);
		return *this;
	}
};

inline std::string name_of(AccessKind kind, u32 encoding)
{
	const SdmField* field = find_sdm_field(encoding);
	return std::string(kind == AccessKind::kVmread ? "VMREAD " : "VMWRITE ") +
	       (field ? field->name : "a field that the model has not");
}

// The differences, one line each; empty if there are none.  The order of the accesses does not matter.
inline std::string difference(const std::vector<FieldAccess>& made, const AccessList& stated)
{
	std::map<std::pair<AccessKind, u32>, int> surplus;
	for (const FieldAccess& access : made)
		surplus[{access.kind, access.encoding}]++;
	for (const NamedField& field : stated.reads)
		surplus[{AccessKind::kVmread, field.encoding}]--;
	for (const NamedField& field : stated.writes)
		surplus[{AccessKind::kVmwrite, field.encoding}]--;
	std::string text;
	for (const auto& [access, count] : surplus) {
		if (count)
			text += name_of(access.first, access.second) + ": " +
				std::to_string(count > 0 ? count : -count) +
				(count > 0 ? " more than stated\n" : " fewer than stated\n");
	}
	return text;
}

}  // namespace vregcache::test
